"use client";

import Link from "next/link";
import { usePathname } from "next/navigation";
import { useLanguage, type Language } from "@/lib/language";

export function Header() {
  const { t, language, set } = useLanguage();
  const path = usePathname();
  const link = (href: string, text: string) => (
    <Link
      href={href}
      aria-current={path === href ? "page" : undefined}
      className="rounded-full px-2.5 py-1.5 text-soft sm:px-3 hover:text-ink aria-[current=page]:bg-accent-soft aria-[current=page]:text-accent"
    >
      {text}
    </Link>
  );
  return (
    <header className="mx-auto flex w-full max-w-6xl flex-wrap items-center gap-x-2 gap-y-2 sm:gap-x-4 px-4 py-4 sm:px-6">
      <a
        href="#content"
        className="sr-only focus:not-sr-only focus:absolute focus:left-2 focus:top-2 focus:z-10 focus:rounded-lg focus:bg-card focus:px-4 focus:py-2"
      >
        {t.skip}
      </a>
      <Link href="/" className="flex items-center gap-2 font-semibold tracking-tight">
        <img src="/icon.svg" alt="" width={28} height={28} />
        genq
      </Link>
      <nav aria-label="genq" className="flex gap-1 text-sm">
        {link("/", t.navTry)}
        {link("/model/", t.navModel)}
      </nav>
      <label className="ml-auto flex items-center gap-2 text-sm text-soft">
        <span className="sr-only">{t.language}</span>
        <select
          value={language}
          onChange={(event) => set(event.target.value as Language)}
          className="max-w-28 rounded-lg border border-line bg-card px-2 py-1.5 text-ink sm:max-w-none"
        >
          <option value="en">English</option>
          <option value="id">Bahasa Indonesia</option>
        </select>
      </label>
    </header>
  );
}

export function Footer() {
  const { t } = useLanguage();
  return (
    <footer className="border-t border-line">
      <p className="mx-auto max-w-6xl px-4 py-6 text-sm text-soft sm:px-6">{t.footer}</p>
    </footer>
  );
}
