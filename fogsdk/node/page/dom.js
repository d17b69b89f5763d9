/**
 * Elements, words and numbers for the page.
 *
 * Everything that is shown is put in as text or as an attribute, never as markup: what a task is called, says or
 * returns can not become part of the page.
 */

/** Make an element: `h("p", { class: "note" }, "text", child)`. A function is a listener, `null` and `false` are left out. */
export function h(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, ...children);
}

const SVG = "http://www.w3.org/2000/svg";

/** The same for SVG. */
export function svg(tag, properties, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, ...children);
}

function fill(element, properties, ...children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Text of a docstring: what is between double backquotes is code. */
export function prose(text) {
  return text.split("``").map((part, index) => (index % 2 ? h("code", null, part) : part));
}

let numbers = 0;

/** An id that no other element has. */
export function uniqueId(prefix) {
  numbers += 1;
  return `${prefix}-${numbers}`;
}

/** Tell a screen reader, without moving the focus. What came before it within a moment is not lost. */
export function announce(text) {
  const region = document.getElementById("announcer");
  if (!region) return;
  const line = h("p", null, text);
  region.append(line);
  setTimeout(() => line.remove(), 10_000);
}

/** Milliseconds as people say them. */
export function duration(ms) {
  if (ms < 1) return "under 1 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const minutes = Math.floor(ms / 60_000);
  return minutes < 60 ? `${minutes} min ${Math.round((ms % 60_000) / 1000)} s` : `${(minutes / 60).toFixed(1)} h`;
}

/** A size in bytes as people say it. */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} ${bytes === 1 ? "byte" : "bytes"}`;
  if (bytes < 1_000_000) return `${(bytes / 1000).toFixed(bytes < 10_000 ? 1 : 0)} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** "1 task", "2 tasks". */
export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** From 0 to 1 as a whole number of percent. */
export function percent(fraction) {
  return Math.round(Math.min(1, Math.max(0, Number(fraction) || 0)) * 100);
}
