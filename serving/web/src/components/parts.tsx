"use client";

import type { ButtonHTMLAttributes, ReactNode } from "react";

export function Button({
  strong = false,
  className = "",
  ...rest
}: ButtonHTMLAttributes<HTMLButtonElement> & { strong?: boolean }) {
  const look = strong
    ? "bg-accent text-paper hover:opacity-90"
    : "border border-line bg-card text-ink hover:border-accent";
  return (
    <button
      type="button"
      className={`min-h-11 cursor-pointer rounded-full px-5 py-2 text-sm font-medium disabled:cursor-default disabled:opacity-50 ${look} ${className}`}
      {...rest}
    />
  );
}

export function Note({ kind, children }: { kind: "plain" | "doubt" | "wrong"; children: ReactNode }) {
  const look = {
    plain: "bg-accent-soft text-ink",
    doubt: "bg-doubt-soft text-doubt",
    wrong: "bg-wrong-soft text-wrong",
  }[kind];
  return <div className={`rounded-2xl px-4 py-3 text-sm ${look}`}>{children}</div>;
}
