// Answers of npm @vladmandic/human, for benchmarks/gender_peers.py.
//
// Standard input: images, each as width and height (unsigned 32-bit little-endian) and RGB bytes.
// Standard output: a line of JSON an image: {"p_male": 0..1, "found": bool, "seconds": s}.
// Where its detector finds no face, its network for gender gets the whole image.
// TensorFlow.js reads models by http only, so a server on loopback hands them out.

"use strict";
const fs = require("fs");
const http = require("http");
const path = require("path");

const here = process.argv[2]; // the folder with node_modules
const modules = path.join(here, "node_modules");
const { Human } = require(path.join(modules, "@vladmandic/human/dist/human.node-wasm.js"));
const models = path.join(modules, "@vladmandic/human/models");

const off = { enabled: false };

function config(port) {
  return {
    backend: "wasm",
    wasmPath: path.join(modules, "@tensorflow/tfjs-backend-wasm/dist") + path.sep,
    modelBasePath: `http://127.0.0.1:${port}/`,
    debug: false,
    cacheSensitivity: 0, // no answer of the image before
    filter: off,
    body: off,
    hand: off,
    object: off,
    gesture: off,
    segmentation: off,
    // Detector and mesh, which refines the face's box, are its defaults, but for maxDetected: of
    // several faces the largest one is taken, as from every other contestant.
    face: {
      detector: { maxDetected: 10 },
      description: { minConfidence: 0 },
      attention: off,
      iris: off,
      emotion: off,
      antispoof: off,
      liveness: off,
    },
  };
}

function serve() {
  const server = http.createServer((request, response) => {
    const file = path.join(models, path.basename(request.url.split("?")[0]));
    if (!fs.existsSync(file)) return response.writeHead(404).end();
    return response.end(fs.readFileSync(file));
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

async function answer(human, pixels, width, height) {
  const { tf } = human;
  const image = tf.tensor3d(pixels, [height, width, 3], "int32");
  const started = process.hrtime.bigint();
  const result = await human.detect(image);
  if (result.error) throw new Error(result.error);
  const faces = result.face.filter((face) => face.gender === "male" || face.gender === "female");
  let male;
  if (faces.length > 0) {
    const face = faces.reduce((a, b) => (b.box[2] * b.box[3] > a.box[2] * a.box[3] ? b : a));
    male = 0.5 + ((face.gender === "male" ? 1 : -1) * face.genderScore) / 2;
  } else {
    const network = human.models.models.faceres;
    const size = network.inputs[0].shape[1];
    const found = tf.tidy(() => {
      const input = tf.image.resizeBilinear(tf.expandDims(tf.cast(image, "float32")), [size, size]);
      return network.execute(input).find((t) => t.shape[1] === 1).dataSync()[0];
    });
    male = found;
  }
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  tf.dispose(image);
  return { p_male: male, found: faces.length > 0, seconds };
}

async function main() {
  const server = await serve();
  const human = new Human(config(server.address().port));
  await human.init();
  await human.load();
  let waiting = Buffer.alloc(0);
  for await (const part of process.stdin) {
    waiting = Buffer.concat([waiting, part]);
    while (waiting.length >= 8) {
      const [width, height] = [waiting.readUInt32LE(0), waiting.readUInt32LE(4)];
      const end = 8 + width * height * 3;
      if (waiting.length < end) break;
      const pixels = new Uint8Array(waiting.subarray(8, end));
      waiting = waiting.subarray(end);
      process.stdout.write(`${JSON.stringify(await answer(human, pixels, width, height))}\n`);
    }
  }
  server.close();
}

main().then(
  () => process.exit(0),
  (error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exit(1);
  },
);
