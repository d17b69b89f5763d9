/**
 * The page: which part of it is shown, the connection, and who tells whom.
 *
 * The address after `#` says what is shown: `#/tasks`, `#/task/<name>`, `#/results`, `#/fog`. On a wide screen all
 * three parts are there at once.
 */

import { Asks } from "./asks.js";
import { announce, count, h } from "./dom.js";
import { Site } from "./site.js";
import "./ask-card.js";
import "./devices.js";
import "./login.js";
import "./node-list.js";
import "./task-form.js";
import "./task-list.js";

const wide = matchMedia("(min-width: 1024px)"); // as in page.css: all parts are shown at once
const site = new Site();
const asks = new Asks();
const at = (selector) => document.querySelector(selector);
const [list, form, results] = ["fog-tasks", "fog-form", "fog-results"].map(at);

// ---------------------------------------------------------------- what is shown

const PARTS = ["tasks", "results", "fog"];

function show() {
  const [, part = "tasks", name = ""] = location.hash.split("/");
  const task = part === "task" ? find(name) : null;
  const shown = PARTS.includes(part) ? part : "tasks";
  document.body.dataset.part = shown;
  for (const tab of document.querySelectorAll("nav a")) {
    if (tab.hash === `#/${shown}`) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  form.hidden = !task;
  list.hidden = Boolean(task);
  at("#tasks-title").hidden = Boolean(task);
  if (task) form.show(task);
  list.mark(task?.name);
}

function find(part) {
  const name = decodeURIComponent(part);
  return site.tasks?.find((task) => task.name === name);
}

function moved() {
  show();
  scrollTo(0, 0);
  const title = form.hidden ? at(`#${document.body.dataset.part}-title`) : form.querySelector("h2");
  title?.focus({ preventScroll: true });
}

addEventListener("hashchange", moved);

// ---------------------------------------------------------------- tasks asked for

form.addEventListener("ask", ({ detail: { task, args, kwargs, options, label } }) => {
  asks.add(task, args, kwargs, options, label);
  if (!wide.matches) location.hash = "#/results";
});

results.addEventListener("again", ({ detail: ask }) => {
  asks.add(ask.task, ask.args, ask.kwargs, ask.options, ask.label);
});

asks.addEventListener("added", ({ detail: ask }) => results.add(ask));
asks.addEventListener("change", () => {
  const open = asks.open.length;
  at("#open").hidden = !open;
  at("#open").replaceChildren(String(open), h("span", { class: "visually-hidden" }, " running"));
});

// ---------------------------------------------------------------- the connection

site.addEventListener("tasks", () => {
  list.show(site.tasks);
  if (form.hidden || !find(location.hash.split("/")[2] ?? "")) show();
});

site.addEventListener("nodes", () => {
  at("fog-nodes").show(site);
  at("#site-name").textContent = site.name;
  document.title = `Fog · ${site.name}`;
});

site.addEventListener("up", () => {
  const { connection, banner } = { connection: at("#connection"), banner: at("#banner") };
  connection.dataset.state = "up";
  connection.textContent = site.node;
  connection.title = `this page comes from ${site.node}, live`;
  if (!banner.hidden) announce(`Connected to ${site.node} again`);
  banner.hidden = true;
  at("fog-devices").show();
  asks.poke();
});

site.addEventListener("down", () => {
  at("#connection").dataset.state = "down";
  at("#connection").textContent = "not connected";
  const [words, more] = whyDown();
  const again = h("button", { type: "button", click: () => site.poke() }, site.locked ? "Enter a token" : "Try now");
  at("#banner").replaceChildren(h("p", null, h("strong", null, words), ` ${more}`), again);
  at("#banner").hidden = false;
  asks.doubt();
});

function whyDown() {
  if (site.locked) return ["This node wants a token.", "Without one it tells and takes nothing."];
  const open = asks.open.length;
  const kept = open ? ` ${count(open, "task")} will go on as soon as it answers, and nothing runs twice.` : "";
  return [`${site.node || "The node"} does not answer.`, `Trying again.${kept}`];
}

// A phone freezes the page in the background, and what was connected then is dead without a word.
function back() {
  if (document.visibilityState !== "visible") return;
  site.refresh();
  asks.poke();
}
for (const name of ["visibilitychange", "resume"]) document.addEventListener(name, back);
for (const name of ["pageshow", "online"]) addEventListener(name, back);
addEventListener("pagehide", () => asks.keep());

asks.restore();
show();
site.watch();
