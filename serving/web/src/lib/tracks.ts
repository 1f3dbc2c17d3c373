/**
 * People in a video: the faces of its frames joined to tracks, and one answer a track.
 *
 * A face belongs to the track that was expected about there (constant speed) and looked alike: where
 * two people cross, one hides the other for a while, and what they look like tells who is who.
 */

import type { Box, Face } from "./schemas";

/** A face in one frame. */
export type Sighting = { timeS: number; face: Face };
/** `best` has the crop to be shown; of the others only numbers are kept. */
export type Track = { id: number; sightings: Sighting[]; best: Face };

/** How long somebody may be hidden and still be the same track. */
export const MAX_GAP_S = 2;
/** Fewer sightings are no person yet: a false face rarely lasts. */
const LEAST_SIGHTINGS = 3;
/** Centres further apart than this, in sides of the box, are two people; more after a gap. */
const REACH = 0.8;
const REACH_PER_S = 1.2;
/** Cosine of two looks below which they are two people, wherever they are. */
const LEAST_ALIKE = 0.35;
const LOOK_MEMORY = 0.8;
const SPEED_MEMORY = 0.6;

type State = {
  track: Track;
  box: Box;
  timeS: number;
  /** Of the centre, in pixels a second. */
  speed: readonly [number, number];
  /** What the crops look like, a vector of length 1. */
  look: Float32Array | null;
};

const centre = (b: Box) => [(b.x1 + b.x2) / 2, (b.y1 + b.y2) / 2] as const;
const side = (b: Box) => Math.max(b.x2 - b.x1, b.y2 - b.y1);

export class Tracker {
  tracks: Track[] = [];
  private live: State[] = [];
  private count = 0;

  /** `memoryS`: what is older is forgotten; for a camera, which never ends. */
  constructor(private readonly memoryS = Infinity) {}

  /** Takes the faces of the next frame, later than the one before. */
  add(timeS: number, faces: readonly { face: Face; look: Float32Array | null }[]): void {
    this.live = this.live.filter((state) => timeS - state.timeS <= MAX_GAP_S);
    const pairs = this.live.flatMap((state) =>
      faces.map((seen, n) => ({ state, n, cost: cost(state, timeS, seen.face.box, seen.look) })),
    );
    const taken = new Set<State>();
    const given = new Set<number>();
    for (const { state, n, cost } of pairs.sort((a, b) => a.cost - b.cost)) {
      if (cost === Infinity || taken.has(state) || given.has(n)) continue;
      taken.add(state);
      given.add(n);
      follow(state, timeS, faces[n]!.face, faces[n]!.look);
    }
    faces.forEach((seen, n) => {
      if (given.has(n)) return;
      this.count += 1;
      const track: Track = { id: this.count, sightings: [sighting(timeS, seen.face)], best: seen.face };
      this.tracks.push(track);
      this.live.push({ track, box: seen.face.box, timeS, speed: [0, 0], look: seen.look });
    });
    if (this.memoryS === Infinity) return;
    const recent = (s: { timeS: number }) => s.timeS >= timeS - this.memoryS;
    for (const track of this.tracks) track.sightings = track.sightings.filter(recent);
    this.tracks = this.tracks.filter((track) => track.sightings.length > 0);
  }
}

function cost(state: State, timeS: number, box: Box, look: Float32Array | null): number {
  const gapS = timeS - state.timeS;
  const [x, y] = centre(state.box);
  const [ax, ay] = [x + state.speed[0] * gapS, y + state.speed[1] * gapS];
  const [bx, by] = centre(box);
  const larger = Math.max(side(box), side(state.box));
  const distance = Math.hypot(bx - ax, by - ay) / larger;
  const alike = state.look && look ? cosine(state.look, look) : 1;
  const sizes = Math.min(side(box), side(state.box)) / larger;
  if (distance > REACH + REACH_PER_S * gapS || sizes < 0.5 || alike < LEAST_ALIKE) return Infinity;
  return distance + (1 - sizes) + 2 * (1 - alike);
}

function follow(state: State, timeS: number, face: Face, look: Float32Array | null): void {
  const { box } = face;
  const passedS = Math.max(timeS - state.timeS, 1e-3);
  const [x, y] = centre(state.box);
  const [bx, by] = centre(box);
  const mix = (old: number, now: number, share: number) => old * share + now * (1 - share);
  const share = state.track.sightings.length === 1 ? 0 : SPEED_MEMORY;
  state.speed = [mix(state.speed[0], (bx - x) / passedS, share), mix(state.speed[1], (by - y) / passedS, share)];
  if (state.look && look) state.look = unit(state.look.map((v, k) => mix(v, look[k]!, LOOK_MEMORY)));
  state.box = box;
  state.timeS = timeS;
  state.track.sightings.push(sighting(timeS, face));
  const rank = (f: Face) => f.detector_score * Math.sqrt(f.size_px);
  if (rank(face) > rank(state.track.best)) state.track.best = face;
}

const sighting = (timeS: number, face: Face): Sighting => ({ timeS, face: { ...face, crop_jpeg: null } });

const cosine = (a: Float32Array, b: Float32Array) => a.reduce((sum, v, k) => sum + v * b[k]!, 0);

/** Without its mean, at length 1: light and contrast do not count. */
export function unit(values: Float32Array): Float32Array {
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  const centred = values.map((v) => v - mean);
  const length = Math.sqrt(centred.reduce((sum, v) => sum + v * v, 0)) || 1;
  return centred.map((v) => v / length);
}

export type Person = {
  id: number;
  sightings: readonly Sighting[];
  /** Mean over the frames: large, sure faces count more. */
  pPositive: number;
  uncertain: boolean;
  /** The largest sure face, to be shown. */
  best: Face;
  fromS: number;
  toS: number;
};

/**
 * One answer a track, those seen in too few frames left out; numbered in order of appearance.
 *
 * `band`: half the width of the range in which the model abstains; where it is not known, most of
 * the frames decide.
 */
export function people(tracks: readonly Track[], band: number | null, least = LEAST_SIGHTINGS): Person[] {
  return tracks
    .filter((track) => track.sightings.length >= least)
    .map(({ sightings, best }, n) => {
      const weight = ({ face }: Sighting) => face.detector_score * Math.min(1, face.size_px / 80);
      const total = sightings.reduce((sum, s) => sum + weight(s), 0);
      const pPositive = sightings.reduce((sum, s) => sum + weight(s) * s.face.p_positive, 0) / total;
      const unsure = sightings.filter((s) => s.face.uncertain).length;
      return {
        id: n + 1,
        sightings,
        pPositive,
        uncertain: band === null ? unsure * 2 > sightings.length : Math.abs(pPositive - 0.5) < band,
        best,
        fromS: sightings[0]!.timeS,
        toS: sightings.at(-1)!.timeS,
      };
    });
}

/** Where somebody is at a time: between the two sightings around it, if they are close; or null. */
export function boxAt(person: Person, timeS: number, stepS: number): Box | null {
  const after = person.sightings.findIndex((s) => s.timeS >= timeS);
  const b = person.sightings[after];
  const a = after > 0 ? person.sightings[after - 1] : after === 0 ? b : person.sightings.at(-1);
  if (!a) return null;
  const near = (s: Sighting | undefined) => s !== undefined && Math.abs(s.timeS - timeS) <= stepS / 2 + 0.02;
  if (!b || a === b) return near(b ?? a) ? (b ?? a).face.box : null;
  if (b.timeS - a.timeS > 3 * stepS + 0.02) return near(b) ? b.face.box : near(a) ? a.face.box : null;
  const share = (timeS - a.timeS) / Math.max(b.timeS - a.timeS, 1e-6);
  const mix = (k: keyof Box) => a.face.box[k] * (1 - share) + b.face.box[k] * share;
  return { x1: mix("x1"), y1: mix("y1"), x2: mix("x2"), y2: mix("y2") };
}

/** When somebody is seen: stretches without a gap of more than three steps. */
export function stretches(person: Person, stepS: number): [fromS: number, toS: number][] {
  const found: [number, number][] = [];
  for (const { timeS } of person.sightings) {
    const last = found.at(-1);
    if (last && timeS - last[1] <= 3 * stepS + 0.02) last[1] = timeS;
    else found.push([timeS, timeS]);
  }
  return found;
}
