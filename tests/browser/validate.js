// node validate.js FILE.glb...: what the Khronos validator has to say, one JSON object a line.
import fs from "node:fs";
import validator from "gltf-validator";

for (const file of process.argv.slice(2)) {
  const report = await validator.validateBytes(new Uint8Array(fs.readFileSync(file)));
  console.log(JSON.stringify(report.issues));
}
