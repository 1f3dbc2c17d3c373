"use client";

import { useCallback, useEffect, useRef, useState } from "react";
import { faces as ask, ApiError, type Faces } from "@/lib/api";
import type { Device } from "@/lib/device";
import { useLanguage } from "@/lib/language";
import { Boxes } from "./boxes";
import { FaceCard } from "./face-card";
import { Button, Note } from "./parts";
import { FileButton } from "./try";

const MAX_SIDE_PX = 960;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A video file or the camera: one frame in flight, the next when its answer is there. */
export function Live({ source, device }: { source: "video" | "camera"; device: Device | null }) {
  const { t, language } = useLanguage();
  const video = useRef<HTMLVideoElement>(null);
  const running = useRef(false);
  const [answer, setAnswer] = useState<Faces | null>(null);
  const [frames, setFrames] = useState(0);
  const [problem, setProblem] = useState("");
  const [active, setActive] = useState(false);

  const stop = useCallback(() => {
    running.current = false;
    setActive(false);
    const element = video.current;
    if (!element) return;
    element.pause();
    if (element.srcObject instanceof MediaStream) element.srcObject.getTracks().forEach((t) => t.stop());
    element.srcObject = null;
  }, []);
  useEffect(() => stop, [stop]);

  async function loop() {
    const element = video.current;
    if (!element || running.current) return;
    running.current = true;
    setActive(true);
    while (running.current && !element.ended) {
      try {
        const frame = await grab(element);
        if (frame) {
          const found = device ? await device.analyse(frame) : await ask(frame, language);
          setAnswer(found);
          setFrames((n) => n + 1);
          setProblem("");
        }
        await pause(frame ? 0 : 50);
      } catch (error) {
        const wait = error instanceof ApiError ? (error.retryAfterS ?? 2) : 2;
        setProblem(error instanceof ApiError && error.message ? error.message : t.offline);
        await pause(wait * 1000);
      }
    }
    running.current = false;
    setActive(false);
  }

  async function camera() {
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
      if (!video.current) return;
      video.current.srcObject = stream;
      await video.current.play();
      setProblem("");
      void loop();
    } catch {
      setProblem(t.cameraFailed);
    }
  }

  async function open(files: Iterable<File>) {
    const [file] = files;
    const element = video.current;
    if (!file || !element) return;
    stop();
    setAnswer(null);
    setFrames(0);
    element.src = URL.createObjectURL(file);
    try {
      await element.play();
      setProblem("");
      void loop();
    } catch {
      setProblem(t.videoFailed);
    }
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
          {answer && <Boxes faces={answer.faces} width={answer.image.width} height={answer.image.height} />}
        </div>
        <div>
          {answer?.release.synthetic && (
            <div className="mb-3">
              <Note kind="wrong">{t.drawn}</Note>
            </div>
          )}
          {answer && answer.faces.length === 0 && <Note kind="plain">{t.none}</Note>}
          <ul className="grid gap-3">
            {answer?.faces.map((face, n) => (
              <FaceCard
                key={n}
                face={face}
                labels={answer.release.labels}
                number={n + 1}
                crop={face.crop_jpeg ? `data:image/jpeg;base64,${face.crop_jpeg}` : null}
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
