// onnxruntime-web is served as it is, for the mode "on this device": nothing comes from a CDN.
import { copyFileSync, mkdirSync } from "node:fs";

const files = ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];
mkdirSync("public/ort", { recursive: true });
for (const file of files) {
  copyFileSync(`node_modules/onnxruntime-web/dist/${file}`, `public/ort/${file}`);
}
