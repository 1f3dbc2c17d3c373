"use client";

import { useRef } from "react";
import { Button } from "./parts";

/** HEIC and AVIF by name: some systems know no media type for them. */
export const PHOTO_TYPES = "image/*,.heic,.heif,.avif";

type Props = {
  text: string;
  accept: string;
  multiple?: boolean;
  capture?: boolean;
  strong?: boolean;
  compact?: boolean;
  onFiles: (files: Iterable<File>) => void;
};

/** A button that opens the file chooser; the same file may be chosen twice in a row. */
export function FileButton({ text, accept, multiple, capture, strong, compact, onFiles }: Props) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <Button strong={strong} compact={compact} onClick={() => input.current?.click()}>
        {text}
      </Button>
      <input
        ref={input}
        type="file"
        accept={accept}
        multiple={multiple}
        capture={capture ? "user" : undefined}
        hidden
        aria-label={text}
        onChange={(event) => {
          onFiles([...(event.target.files ?? [])]);
          event.target.value = "";
        }}
      />
    </>
  );
}
