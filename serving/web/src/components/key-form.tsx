"use client";

import { useState } from "react";
import { setKey } from "@/lib/api";
import { useLanguage } from "@/lib/language";
import { Button } from "./parts";

/** Asks for the API key that this server wants; kept for this visit only. */
export function KeyForm({ onKey }: { onKey: () => void }) {
  const { t } = useLanguage();
  const [key, change] = useState("");
  return (
    <form
      className="mt-6 flex flex-wrap items-end gap-3 rounded-2xl border border-line bg-card p-4"
      onSubmit={(event) => {
        event.preventDefault();
        setKey(key);
        onKey();
      }}
    >
      <p className="w-full">{t.keyNeeded}</p>
      <label className="text-sm">
        {t.keyLabel}
        <input
          type="password"
          autoComplete="off"
          value={key}
          onChange={(event) => change(event.target.value)}
          className="mt-1 block min-h-11 rounded-lg border border-line bg-paper px-3"
        />
      </label>
      <Button type="submit" strong>
        {t.keySave}
      </Button>
    </form>
  );
}
