"use client";

import Link from "next/link";
import { useLanguage } from "@/lib/language";

export default function NotFound() {
  const { t } = useLanguage();
  return (
    <div className="pt-20 text-center">
      <h1 className="font-serif text-3xl">{t.notFound}</h1>
      <p className="mt-4">
        <Link className="text-accent underline underline-offset-4" href="/">
          {t.home}
        </Link>
      </p>
    </div>
  );
}
