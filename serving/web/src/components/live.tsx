"use client";

import { useCallback, useEffect, useRef, useState } from "react";
import { bandOf, jpegUrl } from "@/lib/answers";
import { faces as ask, ApiError } from "@/lib/api";
import type { Device } from "@/lib/device";
import { useLanguage } from "@/lib/language";
import type { Faces, Model } from "@/lib/schemas";
import { Boxes } from "./boxes";
import { FileButton } from "./file-button";
import { FaceCard } from "./face-card";
import { Button, Note } from "./parts";

const MAX_SIDE_PX = 960;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

type Props = { source: "video" | "camera"; device: Device | null; model: Model | null };

/** A video file or the camera: one frame in flight, the next when its answer is there. */
export function Live({ source, device, model }: Props) {
  const { t, language } = useLanguage();
  const video = useRef<HTMLVideoElement>(null);
  // The run that may write: what an older one still learns from its frame in flight is dropped.
  const run = useRef<AbortController | null>(null);
  const url = useRef("");
  const [answer, setAnswer] = useState<Faces | null>(null);
  const [frames, setFrames] = useState(0);
  const [problem, setProblem] = useState("");
  const [active, setActive] = useState(false);

  const stop = useCallback(() => {
    run.current?.abort();
    run.current = null;
    setActive(false);
    setAnswer(null); // its boxes belong to a frame that is no longer shown
    const element = video.current;
    if (!element) return;
    element.pause();
    if (element.srcObject instanceof MediaStream) element.srcObject.getTracks().forEach((t) => t.stop());
    element.srcObject = null;
  }, []);
  const leave = useCallback(() => {
    stop();
    URL.revokeObjectURL(url.current);
  }, [stop]);
  useEffect(() => leave, [leave]);

  async function loop(mine: AbortController) {
    const element = video.current;
    const signal = mine.signal;
    while (element && !signal.aborted && !element.ended) {
      try {
        const frame = await grab(element);
        if (frame && !signal.aborted) {
          const found = device ? await device.analyse(frame) : await ask(frame, language, { signal });
          if (signal.aborted) return;
          setAnswer(found);
          setFrames((n) => n + 1);
          setProblem("");
        }
        await pause(frame ? 0 : 50);
      } catch (error) {
        if (signal.aborted) return;
        const wait = error instanceof ApiError ? (error.retryAfterS ?? 2) : 2;
        setProblem(error instanceof ApiError && error.message ? error.message : t.offline);
        await pause(wait * 1000);
      }
    }
    if (!signal.aborted) setActive(false);
  }

  /** Ends what runs and begins anew; returns the new run. */
  function begin(): AbortController {
    stop();
    setFrames(0);
    setProblem("");
    const mine = new AbortController();
    run.current = mine;
    setActive(true);
    return mine;
  }

  /** Plays, then answers frame by frame; a run that was replaced meanwhile says nothing. */
  async function play(mine: AbortController, failed: string) {
    try {
      await video.current?.play();
    } catch {
      if (mine.signal.aborted) return;
      setProblem(failed);
      setActive(false);
      return;
    }
    void loop(mine);
  }

  async function camera() {
    const mine = begin();
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
      if (mine.signal.aborted || !video.current) return stream.getTracks().forEach((t) => t.stop());
      video.current.srcObject = stream;
    } catch {
      setProblem(t.cameraFailed);
      setActive(false);
      return;
    }
    await play(mine, t.cameraFailed);
  }

  async function open(files: Iterable<File>) {
    const [file] = files;
    if (!file || !video.current) return;
    const mine = begin();
    URL.revokeObjectURL(url.current);
    url.current = URL.createObjectURL(file);
    video.current.src = url.current;
    await play(mine, t.videoFailed);
  }

  return (
    <section className="mt-5 rounded-3xl border border-line bg-card p-5 sm:p-8">
      <div className="flex flex-wrap items-center gap-3">
        {source === "camera" ? (
          <Button strong disabled={active} onClick={camera}>
            {t.startCamera}
          </Button>
        ) : (
          <FileButton strong text={t.chooseVideo} accept="video/*" onFiles={open} />
        )}
        <Button disabled={!active} onClick={stop}>
          {t.stop}
        </Button>
        {frames > 0 && <p className="text-sm text-soft">{t.frames(frames)}</p>}
      </div>
      <p className="mt-3 text-sm text-soft">{device ? t.liveNoteDevice : t.liveNote}</p>
      {problem && (
        <div role="status" className="mt-4">
          <Note kind="wrong">{problem}</Note>
        </div>
      )}
      <div className="mt-5 grid gap-5 md:grid-cols-2">
        <div className="relative self-start overflow-hidden rounded-2xl bg-line">
          <video ref={video} muted playsInline className="block w-full" aria-label={source === "camera" ? t.sourceCamera : t.sourceVideo} />
          {answer && <Boxes faces={answer.faces} names={answer.faces.map((_, n) => String(n + 1))} width={answer.image.width} height={answer.image.height} />}
        </div>
        <div>
          {answer && answer.faces.length === 0 && <Note kind="plain">{t.none}</Note>}
          <ul className="grid gap-3">
            {answer?.faces.map((face, n) => (
              <FaceCard
                key={n}
                face={face}
                labels={answer.release.labels}
                number={n + 1}
                band={bandOf(answer, model)}
                crop={jpegUrl(face.crop_jpeg)}
              />
            ))}
          </ul>
        </div>
      </div>
    </section>
  );
}

/** The current frame as a JPEG, or null while there is none. */
async function grab(video: HTMLVideoElement): Promise<Blob | null> {
  if (!video.videoWidth || video.readyState < 2) return null;
  const scale = Math.min(1, MAX_SIDE_PX / Math.max(video.videoWidth, video.videoHeight));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d")?.drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
}
