"use client";

import { createContext, useContext, useEffect, useState, type ReactNode } from "react";
import { en, id, type Texts } from "./texts";

export type Language = "en" | "id";

const Context = createContext<{ language: Language; t: Texts; set: (l: Language) => void }>({
  language: "en",
  t: en,
  set: () => {},
});

/** The language that was chosen, else the browser's, else English. */
export function LanguageProvider({ children }: { children: ReactNode }) {
  const [language, setLanguage] = useState<Language>("en");
  useEffect(() => {
    const chosen = localStorage.getItem("language");
    const preferred = navigator.language.toLowerCase().startsWith("id") ? "id" : "en";
    setLanguage(chosen === "en" || chosen === "id" ? chosen : preferred);
  }, []);
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);
  const set = (next: Language) => {
    localStorage.setItem("language", next);
    setLanguage(next);
  };
  const t = language === "id" ? id : en;
  return <Context.Provider value={{ language, t, set }}>{children}</Context.Provider>;
}

export const useLanguage = () => useContext(Context);

/** 0.934 -> "93 %", never "100 %" or "0 %" for what is neither. */
export function percent(p: number): string {
  if (p > 0.995 && p < 1) return "> 99 %";
  if (p < 0.005 && p > 0) return "< 1 %";
  return `${Math.round(p * 100)} %`;
}
