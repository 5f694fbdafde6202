// Compares with sharp, in turns on one machine: see scripts/bench-sharp.sh.
//
//   compare.mjs JOBS IMAGES ROUNDS [ONLY]
//
// JOBS is the benchmark program, IMAGES the folder of sources; ONLY keeps the jobs whose name
// holds it. Tables in Markdown go to the standard output, and without ONLY to docs/benchmarks.md;
// everything measured goes to target/bench-sharp/results.json.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const [jobProgram, images, rounds, only = ''] = process.argv.slice(2);
const work = 'target/bench-sharp';
mkdirSync(work, { recursive: true });
const peer = path.join(import.meta.dirname, 'peer.mjs');

const photo = 'photo_12mp_420.jpg';
const svt = '.tools/svt/libSvtAv1Enc.so.4';
const avif = { quality: 60, chromaSubsampling: '4:2:0' };
// `sharp` is what sharp is asked for; `ours` are the options without quality. Where `quality` is
// given, ours is the least number which scores no more than `within` below sharp, so that bytes are
// compared at an equal score; else there is nothing to choose. `cpu` and `bytes` are the targets. A job
// with a `gain` is done in linear light, and ours is the least number which scores by so much more there.
const jobs = [
  job('JPEG q80', photo, [['resize', [800]], ['jpeg', [{ quality: 80 }]]], 'width=800,format=jpeg', 80, 0.78, 0.93),
  job('JPEG q80, mozjpeg', photo, [['resize', [800]], ['jpeg', [{ quality: 80, mozjpeg: true }]]], 'width=800,format=jpeg', 80, 0.55, 0.97),
  job('JPEG q80, 1,600 px', photo, [['resize', [1600]], ['jpeg', [{ quality: 80 }]]], 'width=1600,format=jpeg', 80, 0.5, 0.93),
  job('JPEG q80, progressive source', 'photo_6mp_420_progressive.jpg', [['resize', [800]], ['jpeg', [{ quality: 80 }]]], 'width=800,format=jpeg', 80, 0.65, 0.93),
  job('JPEG q80, 4:4:4 source', 'photo_6mp_444.jpg', [['resize', [800]], ['jpeg', [{ quality: 80 }]]], 'width=800,format=jpeg', 80, 0.78, 0.93),
  job('JPEG q80, 24 MP source', 'photo_24mp_420.jpg', [['resize', [800]], ['jpeg', [{ quality: 80 }]]], 'width=800,format=jpeg', 80, 0.78, 0.93),
  { ...job('JPEG q80 in linear light', photo, [['resize', [800]], ['jpeg', [{ quality: 80 }]]], 'width=800,format=jpeg', 80, 1.0, 1.0), gain: 3 },
  job('WebP q80', photo, [['resize', [800]], ['webp', [{ quality: 80 }]]], 'width=800,format=webp', 80, 0.7, 1.02),
  ...(existsSync(svt)
    ? [
        job('AVIF, effort 4', photo, [['resize', [800]], ['avif', [avif]]], 'width=800,format=avif', 75, 0.06, 1.2, svt),
        job('AVIF, effort 2', photo, [['resize', [800]], ['avif', [{ ...avif, effort: 2 }]]], 'width=800,format=avif', 75, 0.35, 1.0, svt),
      ]
    : []),
  job('AVIF by libaom, effort 4', photo, [['resize', [800]], ['avif', [avif]]], 'width=800,format=avif', 75, 0.1, 1.4),
  job('PNG photo to PNG', 'photo_1200.png', [['resize', [800]], ['png', [{}]]], 'width=800,format=png-force', null, 0.6, 1.05),
  job('PNG flat art to PNG', 'ui_1600.png', [['resize', [800]], ['png', [{}]]], 'width=800,format=png-force', null, 0.6, 1.05),
  job('PNG with alpha to PNG', 'alpha_800.png', [['resize', [600]], ['png', [{}]]], 'width=600', null, 0.6, 1.05),
  job('PNG with alpha to WebP', 'alpha_800.png', [['resize', [600]], ['webp', [{ quality: 80 }]]], 'width=600,format=webp', 80, 0.6, 1.05),
  job('palette PNG, photo', 'photo_1200.png', [['resize', [800]], ['png', [{ palette: true }]]], 'width=800,format=png-force,quality=80', null, 0.1, 1.1),
  job('palette PNG, alpha', 'alpha_800.png', [['resize', [600]], ['png', [{ palette: true }]]], 'width=600,format=png-force,quality=80', null, 0.1, 1.1),
  job('GIF to GIF, photo', 'anim_photo_16f.gif', [['resize', [240]], ['gif', [{}]]], 'width=240', null, 0.15, 1.0),
  job('GIF to GIF, flat art', 'anim_ui_24f.gif', [['resize', [240]], ['gif', [{}]]], 'width=240', null, 0.15, 1.0),
  job('GIF to WebP, photo', 'anim_photo_16f.gif', [['resize', [240]], ['webp', [{ quality: 80 }]]], 'width=240,format=webp', 80, 0.6, 1.0),
  job('GIF to WebP, flat art', 'anim_ui_24f.gif', [['resize', [240]], ['webp', [{ quality: 80 }]]], 'width=240,format=webp', 80, 0.6, 1.0),
  job('WebP to WebP, animated', 'anim_ui_24f.webp', [['resize', [240]], ['webp', [{ quality: 80 }]]], 'width=240,format=webp', 80, 0.6, 1.0),
].filter(({ name }) => name.includes(only));

function job(name, file, steps, ours, quality, cpu, bytes, svt = '/dev/null') {
  const animated = file.startsWith('anim');
  return { name, file: path.join(images, file), chain: { animated, steps }, ours, quality, cpu, bytes, svt };
}

const run = (program, ...given) => runWith({}, program, ...given);
const runWith = (env, program, ...given) =>
  execFileSync(program, given.map(String), {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
const theirs = (job, times, out, concurrency = 1, atOnce = 1) =>
  JSON.parse(run(process.execPath, peer, 'render', job.file, JSON.stringify(job.chain), times, out, concurrency, atOnce));
const mine = (job, options, times, out, threads = 1) =>
  JSON.parse(runWith({ CALOTYPE_SVT_AV1: job.svt, CALOTYPE_RESIZE_LIGHT: job.gain ? 'linear' : 'gamma' }, jobProgram, 'render', job.file, options, times, out, threads));
const decode = (input, output) => run(process.execPath, peer, 'decode', input, output);
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const decoded = new Map();

// Scores of encoded pictures, in linear light and as encoded.
function scores(job, size, files) {
  const source = path.join(work, `${path.basename(job.file)}.png`);
  if (!decoded.has(source)) decode(job.file, source);
  decoded.set(source, true);
  const strips = files.map((file) => `${file}.png`);
  files.forEach((file, index) => decode(file, strips[index]));
  const lines = run(jobProgram, 'score', source, size.width, size.height, size.pages, ...strips);
  return lines.trim().split('\n').map((line) => JSON.parse(line));
}

// Each engine is held to the reference of the light it works in, which is the one it scores higher on.
const best = ({ linear, encoded }) => Math.max(linear, encoded);

// The least quality of ours which scores as sharp does, less `within`.
function matched(job, size, sharp, within = 0.3) {
  const enough = (score) => (job.gain ? score.linear >= sharp.linear + job.gain : best(score) >= best(sharp) - within);
  const out = path.join(work, 'probe');
  let [low, high] = [Math.max(1, job.quality - 20), Math.min(99, job.quality + 16)];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    mine(job, `${job.ours},quality=${middle}`, 0, out);
    const [score] = scores(job, size, [out]);
    if (enough(score)) high = middle;
    else low = middle + 1;
  }
  return low;
}

const times = (cpu) => Math.max(2, Math.min(300, Math.ceil(1500 / cpu)));
const results = [];
for (const job of jobs) {
  process.stderr.write(`${job.name}\n`);
  const [a, b] = ['sharp', 'ours'].map((name) => path.join(work, `${job.name.replaceAll(/[^\w]+/g, '-')}.${name}`));
  const first = theirs(job, 1, a);
  const [sharpScore] = scores(job, first, [a]);
  const quality = job.quality && matched(job, first, sharpScore);
  const options = quality ? `${job.ours},quality=${quality}` : job.ours;
  const warm = mine(job, options, 2, b);
  if (warm.width !== first.width || warm.height !== first.height) {
    throw new Error(`${job.name}: ${warm.width}×${warm.height} is not ${first.width}×${first.height}`);
  }
  const [ourScore] = scores(job, first, [b]);
  const runs = { sharp: [], ours: [] };
  for (let round = 0; round < Number(rounds); round += 1) {
    runs.sharp.push(theirs(job, times(first.cpu), a));
    runs.ours.push(mine(job, options, times(warm.cpu || 10), b));
  }
  const side = (list, score) => ({
    cpu: median(list.map((run) => run.cpu)),
    wall: median(list.map((run) => run.wall)),
    peak: median(list.map((run) => run.peak)),
    bytes: list[0].bytes,
    ...score,
  });
  results.push({ job, quality, format: warm.format, sharp: side(runs.sharp, sharpScore), ours: side(runs.ours, ourScore) });
}

const cores = os.availableParallelism();
const together = [];
for (const job of jobs.filter(({ name }) => ['JPEG q80', 'WebP q80', 'AVIF, effort 4', 'GIF to GIF, photo'].includes(name))) {
  process.stderr.write(`${job.name}, all cores\n`);
  const { quality, sharp, ours } = results.find((result) => result.job === job);
  const options = quality ? `${job.ours},quality=${quality}` : job.ours;
  const out = path.join(work, 'together');
  const [a, b] = [times(sharp.cpu), times(ours.cpu)];
  const runs = { one: [], all: [], sharpThreads: [], sharpJobs: [] };
  for (let round = 0; round < Number(rounds); round += 1) {
    runs.one.push(mine(job, options, b, out, 1));
    runs.sharpThreads.push(theirs(job, a, out, cores, 1));
    runs.all.push(mine(job, options, b, out, cores));
    runs.sharpJobs.push(theirs(job, a, out, 1, cores));
  }
  const rate = (list) => 1000 / median(list.map((run) => run.wall));
  const peak = (list) => median(list.map((run) => run.peak));
  const rates = Object.fromEntries(Object.entries(runs).map(([name, list]) => [name, rate(list)]));
  together.push({ name: job.name, ...rates, ourPeak: peak(runs.all), sharpPeak: peak(runs.sharpJobs) });
}

// How much the score of a picture depends on the size of its source.
const swing = [];
for (const width of jobs.some(({ name }) => name === 'JPEG q80') ? [768, 2000, 4000] : []) {
  const file = path.join(work, `source-${width}.jpg`);
  run(process.execPath, peer, 'render', path.join(images, photo), JSON.stringify({ steps: [['resize', [width]], ['jpeg', [{ quality: 92 }]]] }), 0, file, 1, 1);
  const out = path.join(work, 'swing');
  const ours = { file, svt: '' };
  const size = mine(ours, 'width=640,quality=80,format=jpeg', 0, out);
  const [score] = scores(ours, { ...size, pages: 1 }, [out]);
  swing.push(`${width} px: ${best(score).toFixed(1)}`);
}

writeFileSync(path.join(work, 'results.json'), JSON.stringify({ results, together, swing }, null, 1));

const text = [];
const print = (line) => text.push(line);
const number = (value, digits) => value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
const ratio = (value, target) => `${number(value, 2)}${value <= target + 0.004 ? '' : ' **>**'} (${target})`;
const loaded = JSON.parse(run(process.execPath, peer));
print(`sharp ${loaded.sharp} with libvips ${loaded.vips}; ${os.cpus()[0].model}, ${cores} cores; medians of ${rounds} rounds in turns.`);
print(`Node with sharp loaded takes ${number(loaded.peak, 0)} MB of the peaks of sharp.`);
print('');
print('| job | CPU ms, ours / sharp | ratio (target) | kB, ours / sharp | ratio (target) | score as encoded | score in linear light | peak MB |');
print('| --- | --- | --- | --- | --- | --- | --- | --- |');
for (const { job, quality, ours, sharp } of results) {
  const cells = [
    quality ? `${job.name} (ours ${quality})` : job.name,
    `${number(ours.cpu, 1)} / ${number(sharp.cpu, 1)}`,
    ratio(ours.cpu / sharp.cpu, job.cpu),
    `${number(ours.bytes / 1e3, 1)} / ${number(sharp.bytes / 1e3, 1)}`,
    ratio(ours.bytes / sharp.bytes, job.bytes),
    `${number(ours.encoded, 1)} / ${number(sharp.encoded, 1)}`,
    `${number(ours.linear, 1)} / ${number(sharp.linear, 1)}`,
    `${number(ours.peak, 0)} / ${number(sharp.peak, 0)}`,
  ];
  print(`| ${cells.join(' | ')} |`);
}
if (together.length > 0) {
  print('');
  print(`| images a second | ours, one thread | ours, ${cores} threads | sharp, one job on ${cores} threads | sharp, ${cores} jobs | peak MB, ours / sharp |`);
  print('| --- | --- | --- | --- | --- | --- |');
  for (const { name, one, all, sharpThreads, sharpJobs, ourPeak, sharpPeak } of together) {
    const rates = [one, all, sharpThreads, sharpJobs].map((rate) => number(rate, 1));
    print(`| ${[name, ...rates, `${number(ourPeak, 0)} / ${number(sharpPeak, 0)}`].join(' | ')} |`);
  }
}
if (swing.length > 0) {
  print('');
  print(`One photo as a source of several sizes, to 640 px as JPEG q80: scores ${swing.join(', ')}.`);
}
console.log(text.join('\n'));

const page = 'docs/benchmarks.md';
const [start, end] = ['<!-- scripts/bench-sharp.sh writes from here -->\n', '<!-- to here -->'];
const [before, rest] = readFileSync(page, 'utf8').split(start);
if (only === '' && rest) {
  const [, after] = rest.split(end);
  writeFileSync(page, `${before}${start}\n${text.join('\n')}\n\n${end}${after}`);
}
