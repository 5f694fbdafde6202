// The half of the comparison which is sharp's; compare.mjs starts it.
//
//   peer.mjs render FILE CHAIN TIMES OUT CONCURRENCY AT_ONCE   costs of one rendering, as JSON
//   peer.mjs decode IN OUT                                      a picture as PNG, frames as a strip
//
// CHAIN is JSON: {"animated": bool, "steps": [["resize", [800]], ["jpeg", [{"quality": 80}]]]}.
import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';

const sharp = createRequire(path.resolve('.tools/sharp/package.json'))('sharp');
sharp.cache(false);

const [mode, ...rest] = process.argv.slice(2);
if (mode === 'render') await render(...rest);
else if (mode === 'decode') await decode(...rest);
else {
  const { sharp: version, vips } = sharp.versions;
  console.log(JSON.stringify({ sharp: version, vips, peak: process.resourceUsage().maxRSS / 1024 }));
}

async function render(file, chain, times, out, concurrency, atOnce) {
  sharp.concurrency(Number(concurrency));
  const source = await readFile(file);
  const { animated, steps } = JSON.parse(chain);
  const once = () =>
    steps
      .reduce((image, [step, given]) => image[step](...given), sharp(source, { animated }))
      .toBuffer({ resolveWithObject: true });
  const { data, info } = await once();
  await writeFile(out, data);
  const before = process.cpuUsage();
  const start = process.hrtime.bigint();
  const work = async () => {
    for (let time = 0; time < Number(times); time += 1) await once();
  };
  await Promise.all(Array.from({ length: Number(atOnce) }, work));
  const wall = Number(process.hrtime.bigint() - start) / 1e6;
  const { user, system } = process.cpuUsage(before);
  const jobs = Number(times) * Number(atOnce);
  console.log(
    JSON.stringify({
      cpu: (user + system) / 1e3 / jobs,
      wall: wall / jobs,
      peak: process.resourceUsage().maxRSS / 1024,
      bytes: data.length,
      width: info.width,
      height: info.pageHeight ?? info.height,
      pages: info.pages ?? 1,
    }),
  );
}

async function decode(input, output) {
  sharp.concurrency(0);
  const image = sharp(input, { animated: true, limitInputPixels: false }).autoOrient();
  await image.toColourspace('srgb').png({ compressionLevel: 1 }).toFile(output);
}
