/** What the API answers, by name; made from its OpenAPI description. */

import type { components } from "./api-types";

export type Faces = components["schemas"]["Faces"];
export type Face = components["schemas"]["FaceAnswer"];
export type Box = Face["box"];
export type Limits = components["schemas"]["Limits"];
export type Model = components["schemas"]["Model"];
export type Detector = components["schemas"]["Detector"];
export type DetectorSettings = Required<Detector["settings"]>;
export type ErrorBody = components["schemas"]["ErrorBody"];
