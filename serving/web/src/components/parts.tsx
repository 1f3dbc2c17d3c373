"use client";

import type { ButtonHTMLAttributes, ReactNode } from "react";

export function Button({
  strong = false,
  compact = false,
  className = "",
  ...rest
}: ButtonHTMLAttributes<HTMLButtonElement> & { strong?: boolean; compact?: boolean }) {
  const look = strong
    ? "bg-accent text-paper hover:opacity-90"
    : "border border-line bg-card text-ink hover:border-accent";
  return (
    <button
      type="button"
      className={`inline-flex min-h-11 cursor-pointer items-center justify-center gap-2 rounded-full py-2 text-sm font-medium disabled:cursor-default disabled:opacity-50 ${compact ? "px-3 sm:px-4" : "px-5"} ${look} ${className}`}
      {...rest}
    />
  );
}

/** A round button with a drawing; `label` is what it is called. */
export function IconButton({ label, className = "", ...rest }: ButtonHTMLAttributes<HTMLButtonElement> & { label: string }) {
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      className={`inline-flex shrink-0 cursor-pointer items-center justify-center rounded-full text-soft hover:bg-line hover:text-ink disabled:cursor-default disabled:opacity-40 disabled:hover:bg-transparent ${className || "h-11 w-11"}`}
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
