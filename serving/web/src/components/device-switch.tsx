"use client";

import { useState } from "react";
import { limits as getLimits, model as getModel } from "@/lib/api";
import { downloadMib, loadDevice, type Device } from "@/lib/device";
import { useLanguage } from "@/lib/language";
import type { Model } from "@/lib/schemas";

type Props = { device: Device | null; model: Model | null; onDevice: (device: Device | null) => void };

/** Opt in to analysing in the browser. */
export function DeviceSwitch({ device, model, onDevice }: Props) {
  const { t, language } = useLanguage();
  const [state, setState] = useState<"off" | "loading" | "failed">("off");

  async function change(on: boolean) {
    if (!on) {
      onDevice(null);
      setState("off");
      return;
    }
    setState("loading");
    try {
      onDevice(await loadDevice(await getModel(language), await getLimits(language)));
      setState("off");
    } catch (error) {
      console.error(error);
      setState("failed");
    }
  }

  return (
    <div className="mt-3 text-sm">
      <label className="inline-flex min-h-11 cursor-pointer items-center gap-3">
        <input
          type="checkbox"
          className="h-5 w-5 accent-accent"
          checked={device !== null || state === "loading"}
          disabled={state === "loading"}
          onChange={(event) => void change(event.target.checked)}
        />
        {t.device}
      </label>
      <p role="status" className={state === "failed" ? "text-wrong" : "text-soft"}>
        {state === "loading" && t.deviceLoading}
        {state === "failed" && t.deviceFailed}
        {state === "off" && !device && t.deviceHelp(model && downloadMib(model))}
      </p>
    </div>
  );
}
