/** Line drawings in the colour of the text beside them. */

const paths = {
  close: "M3 3l10 10M13 3L3 13",
  back: "M10 3L5 8l5 5",
  next: "M6 3l5 5-5 5",
  plus: "M8 3v10M3 8h10",
  lock: "M5 7V5a3 3 0 0 1 6 0v2M4.500 7h7A1.500 1.500 0 0 1 13 8.500v4a1.500 1.500 0 0 1-1.500 1.500h-7A1.500 1.500 0 0 1 3 12.500v-4A1.500 1.500 0 0 1 4.500 7z",
} as const;

export function Icon({ name, className = "h-4 w-4" }: { name: keyof typeof paths; className?: string }) {
  return (
    <svg viewBox="0 0 16 16" className={className} aria-hidden="true" fill="none" stroke="currentColor" strokeWidth="1.600" strokeLinecap="round" strokeLinejoin="round">
      <path d={paths[name]} />
    </svg>
  );
}
