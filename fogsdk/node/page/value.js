/**
 * A result as people can see it: pictures, numbers, tables, text, trees, and a download for other bytes.
 */

import { NumberArray } from "./cbor.js";
import { count, h, size, svg } from "./dom.js";

const ROWS = 20;
const COLUMNS = 12;
const LONG_TEXT = 20_000;
const SMALLEST_PICTURE = 16;

const MAGIC = [
  ["image/png", "png", /^\x89PNG\r\n\x1a\n/],
  ["image/jpeg", "jpg", /^\xff\xd8\xff/],
  ["image/gif", "gif", /^GIF8[79]a/],
  ["image/webp", "webp", /^RIFF[^]{4}WEBP/],
  ["application/pdf", "pdf", /^%PDF-/],
  ["application/zip", "zip", /^PK\x03\x04/],
];

/** An element that shows a value. `name` is what a download of it is called. */
export function view(value, name) {
  if (value instanceof Uint8Array) return bytesView(value, name);
  if (value instanceof NumberArray) return arrayView(value, name);
  if (value === null) return h("p", { class: "nothing" }, "nothing (None)");
  if (typeof value === "boolean")
    return h("p", { class: "figure" }, value ? "yes" : "no", h("small", null, value ? "True" : "False"));
  if (typeof value === "number" || typeof value === "bigint") return h("p", { class: "figure" }, written(value));
  if (typeof value === "string") return textView(value, name);
  if (Array.isArray(value)) return listView(value, name);
  return mapView(value, name);
}

// ---------------------------------------------------------------- bytes

function bytesView(bytes, name) {
  const start = String.fromCharCode(...bytes.subarray(0, 16));
  const [type, ending] = MAGIC.find(([, , magic]) => magic.test(start)) ?? ["application/octet-stream", "bin"];
  const about = `${ending === "bin" ? "bytes" : ending.toUpperCase()}, ${size(bytes.length)}`;
  const link = download(new Blob([bytes], { type }), `${name}.${ending}`);
  if (!type.startsWith("image/"))
    return h("div", { class: "bytes" }, h("p", { class: "hex" }, hex(bytes)), caption(about, link));
  const picture = h("img", {
    src: link.href,
    alt: `The picture that ${name} returned`,
    error: () => picture.replaceWith(broken),
  });
  const broken = h("p", { class: "hex" }, hex(bytes));
  return h("figure", { class: "picture" }, picture, h("figcaption", null, caption(about, link)));
}

function hex(bytes) {
  const first = [...bytes.subarray(0, 48)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return bytes.length > 48 ? `${first} …` : first || "no bytes";
}

function caption(about, link) {
  return h("span", { class: "caption" }, h("span", null, about), link);
}

function download(blob, file) {
  const named = file.replace(/[^\p{L}\p{N}._-]+/gu, "-");
  return h(
    "a",
    { class: "button small", href: URL.createObjectURL(blob), download: named },
    "Download",
    h("span", { class: "visually-hidden" }, ` ${named}`),
  );
}

/** Give back the memory of what a view shows, once it is shown no more. */
export function release(element) {
  for (const link of element.querySelectorAll("a[download]")) URL.revokeObjectURL(link.href);
}

// ---------------------------------------------------------------- text

function textView(text, name) {
  if (text.length <= LONG_TEXT)
    return h("p", { class: text.includes("\n") || text.length > 60 ? "words" : "words short" }, text);
  const link = download(new Blob([text], { type: "text/plain" }), `${name}.txt`);
  return h(
    "div",
    null,
    h("p", { class: "words" }, `${text.slice(0, LONG_TEXT)}…`),
    caption(`${text.length} characters`, link),
  );
}

function written(value) {
  if (typeof value === "number" && !Number.isInteger(value))
    return Number.isFinite(value) ? String(Number(value.toPrecision(12))) : String(value);
  return String(value);
}

// ---------------------------------------------------------------- arrays of numbers

function arrayView({ data, shape, type }, name) {
  const about = `${type}, ${shape.join(" × ") || "one number"}`;
  if (data.length === 1 && shape.length < 2)
    return h("p", { class: "figure" }, written(data[0]), h("small", null, type));
  const pixels = pictured(data, shape, type);
  const rows = shape.length < 2 ? [data] : matrix(data, shape);
  const link = download(new Blob([csv(data, shape)], { type: "text/csv" }), `${name}.csv`);
  const words = h("p", { class: "hint" }, `${about}. ${statistics(data)}`);
  const drawn = pixels ?? (shape.length === 1 && data.length >= 8 && curve(data));
  const numbers = h(
    "details",
    { open: !pixels && data.length <= 400 },
    h("summary", null, "Numbers"),
    numberTable(rows),
    caption("all of them, as CSV", link),
  );
  return h("div", { class: "array" }, drawn, words, pixels && pictureLink(pixels, name), numbers);
}

function pictureLink(canvas, name) {
  const save = () =>
    canvas.toBlob((blob) => {
      const link = download(blob, `${name}.png`);
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    });
  return h("p", null, h("button", { type: "button", class: "small", click: save }, "Download the picture"));
}

function statistics(data) {
  const { lowest, highest, sum, finite } = extent(data);
  if (!finite) return "No finite number in it.";
  return `From ${short(lowest)} to ${short(highest)}, mean ${short(sum / finite)}.`;
}

function extent(data) {
  const found = { lowest: Infinity, highest: -Infinity, sum: 0, finite: 0 };
  for (const number of data) {
    if (!Number.isFinite(number)) continue;
    found.lowest = Math.min(found.lowest, number);
    found.highest = Math.max(found.highest, number);
    found.sum += number;
    found.finite += 1;
  }
  return found;
}

function short(number) {
  return written(Number(number.toPrecision(4)));
}

/** The first of the last two dimensions, as rows. */
function matrix(data, shape) {
  const columns = shape.at(-1);
  const rows = Math.min(ROWS + 1, data.length / (columns || 1));
  return Array.from({ length: rows }, (_, row) => data.subarray(row * columns, (row + 1) * columns));
}

function csv(data, shape) {
  const columns = shape.length > 1 ? shape.at(-1) : 1;
  let text = "";
  for (let at = 0; at < data.length; at += columns) text += `${data.subarray(at, at + columns).join(",")}\n`;
  return text;
}

function numberTable(rows) {
  const lines = [...rows].slice(0, ROWS).map((row) => {
    const cells = [...row.slice(0, COLUMNS)].map((number) => h("td", null, short(number)));
    return h("tr", null, cells, row.length > COLUMNS && h("td", null, "…"));
  });
  const more = rows.length > ROWS && h("tr", null, h("td", null, "…"));
  return scrolling("The numbers", h("table", { class: "numbers" }, h("tbody", null, lines, more)));
}

/** A two-dimensional array in shades of grey, or one of red, green and blue in colour. */
function pictured(data, shape, type) {
  const [height, width, channels = 1] = shape;
  const colour = shape.length === 3 && (channels === 3 || channels === 4) && type === "uint8";
  if (!(shape.length === 2 || colour) || Math.min(height, width) < SMALLEST_PICTURE || height * width > 2 ** 24)
    return null;
  const canvas = h("canvas", {
    class: "pixels",
    width,
    height,
    role: "img",
    "aria-label": `${width} × ${height} values as a picture`,
  });
  const { lowest, highest } = extent(data);
  const scale = 255 / (highest - lowest || 1);
  const image = new ImageData(width, height);
  for (let at = 0; at < width * height; at += 1) {
    for (let channel = 0; channel < 3; channel += 1) {
      image.data[at * 4 + channel] = colour ? data[at * channels + channel] : (data[at] - lowest) * scale;
    }
    image.data[at * 4 + 3] = channels === 4 ? data[at * 4 + 3] : 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function curve(data) {
  const { lowest, highest } = extent(data);
  const step = Math.max(1, Math.floor(data.length / 400));
  const points = [];
  for (let at = 0; at < data.length; at += step) {
    if (Number.isFinite(data[at])) {
      const height = (data[at] - lowest) / (highest - lowest || 1);
      points.push(`${((at / (data.length - 1)) * 400).toFixed(1)},${(76 - height * 72).toFixed(1)}`);
    }
  }
  const properties = {
    class: "curve",
    viewBox: "0 0 400 80",
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": `A curve of ${data.length} numbers`,
  };
  return svg("svg", properties, svg("polyline", { points: points.join(" "), "vector-effect": "non-scaling-stroke" }));
}

// ---------------------------------------------------------------- lists and maps

function listView(list, name) {
  if (!list.length) return h("p", { class: "nothing" }, "an empty list");
  if (list.every((each) => typeof each === "number"))
    return arrayView({ data: Float64Array.from(list), shape: [list.length], type: "list" }, name);
  if (isMatrix(list))
    return arrayView(
      { data: Float64Array.from(list.flat()), shape: [list.length, list[0].length], type: "list" },
      name,
    );
  if (list.length > 1 && list.every(isRecord) && alike(list)) return recordTable(list);
  if (list.some((each) => each instanceof Uint8Array || each instanceof NumberArray) && list.length <= 12) {
    return h(
      "ol",
      { class: "several" },
      list.map((each, index) => h("li", null, view(each, `${name}-${index + 1}`))),
    );
  }
  return tree(list, name);
}

function isMatrix(list) {
  const width = Array.isArray(list[0]) ? list[0].length : 0;
  return (
    width > 0 &&
    list.every((row) => Array.isArray(row) && row.length === width && row.every((each) => typeof each === "number"))
  );
}

function isRecord(value) {
  return value instanceof Map && value.size > 0 && value.size <= COLUMNS && [...value.values()].every(isPlain);
}

function isPlain(value) {
  return value === null || ["string", "number", "boolean", "bigint"].includes(typeof value);
}

function alike(records) {
  const keys = [...records[0].keys()].join("\n");
  return records.every((record) => [...record.keys()].join("\n") === keys);
}

function recordTable(records) {
  const heading = h(
    "tr",
    null,
    [...records[0].keys()].map((key) => h("th", { scope: "col" }, String(key))),
  );
  const rows = records.slice(0, 200).map((record) => h("tr", null, [...record.values()].map(cell)));
  const table = h("table", { class: "records" }, h("thead", null, heading), h("tbody", null, rows));
  return h(
    "div",
    null,
    scrolling("The result as a table", table),
    records.length > 200 && h("p", { class: "hint" }, `the first 200 of ${records.length} rows`),
  );
}

function cell(value) {
  return h("td", { class: typeof value === "number" ? "number" : null }, plain(value));
}

function mapView(map, name) {
  if (!map.size) return h("p", { class: "nothing" }, "an empty dict");
  if ([...map.values()].every(isPlain))
    return h(
      "dl",
      { class: "record" },
      [...map].map(([key, value]) => h("div", null, h("dt", null, String(key)), h("dd", null, plain(value)))),
    );
  if (map.size <= 12) {
    return h(
      "dl",
      { class: "record wide" },
      [...map].map(([key, value]) =>
        h(
          "div",
          null,
          h("dt", null, String(key)),
          h("dd", null, isPlain(value) ? plain(value) : view(value, `${name}-${key}`)),
        ),
      ),
    );
  }
  return tree(map, name);
}

function plain(value) {
  return typeof value === "string" ? value : value === null ? "none" : written(value);
}

function tree(value, name) {
  const entries = value instanceof Map ? [...value] : value.map((each, index) => [index, each]);
  const shown = entries.slice(0, 200).map(([key, each]) => {
    const label = h("span", { class: "key" }, String(key));
    if (isPlain(each))
      return h(
        "li",
        null,
        label,
        " ",
        h("span", { class: typeof each }, typeof each === "string" ? `"${each}"` : plain(each)),
      );
    if (each instanceof Map || Array.isArray(each)) {
      const branch = h(
        "details",
        { toggle: () => branch.childElementCount === 1 && branch.append(tree(each, name)) },
        h("summary", null, label, " ", each instanceof Map ? count(each.size, "name") : count(each.length, "item")),
      );
      return h("li", null, branch);
    }
    return h("li", null, label, view(each, `${name}-${key}`));
  });
  return h("ul", { class: "tree" }, shown, entries.length > 200 && h("li", null, `… and ${entries.length - 200} more`));
}

function scrolling(label, table) {
  return h("div", { class: "scrolling", role: "group", "aria-label": label, tabindex: 0 }, table);
}
