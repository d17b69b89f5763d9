/**
 * The nodes of the site and how busy each is, live: `<fog-nodes>`. The strip below the page's title is a short form of it.
 *
 * What is there is changed in place, so that a screen reader and the focus stay where they are.
 */

import { count, duration, h, percent } from "./dom.js";

const ROLES = { fog: "fog", cloud: "bridge to the cloud", core: "core" };
const STATES = { there: "", gone: "gone", lost: "lost", silent: "silent", draining: "shutting down" };
const MOST_PIPS = 16;
const IN_STRIP = 6;

class FogNodes extends HTMLElement {
  cards = new Map();

  connectedCallback() {
    this.total = h("p", { class: "total" }, "Looking for nodes …");
    this.list = h("ul", { class: "nodes" });
    this.strip = document.getElementById("strip");
    this.replaceChildren(this.total, this.list);
  }

  /** Show the nodes as the site says they are. */
  show(site) {
    const there = site.nodes.filter((node) => node.state !== "gone");
    const shown = [there[0], ...there.slice(1).sort((a, b) => (a.node < b.node ? -1 : 1))];
    const [running, workers] = [sum(there, "running"), sum(there, "workers")];
    write(this.total, `${count(there.length, "node")}, ${running} of ${count(workers, "worker")} busy`);
    for (const [name, card] of this.cards) {
      if (!there.some((node) => node.node === name)) {
        card.element.remove();
        this.cards.delete(name);
      }
    }
    shown.forEach((node, index) => {
      const card = this.cards.get(node.node) ?? this.add(node.node);
      card.show(node, node.node === site.node);
      if (this.list.children[index] !== card.element)
        this.list.insertBefore(card.element, this.list.children[index] ?? null);
    });
    this.showStrip(shown);
  }

  add(name) {
    const card = new Card(name);
    this.cards.set(name, card);
    return card;
  }

  showStrip(nodes) {
    this.strip.hidden = false;
    const some = nodes
      .slice(0, IN_STRIP)
      .map((node) => h("span", { class: "mini", "data-state": node.state }, node.node, pips(node)));
    const more = nodes.length > IN_STRIP ? [h("span", { class: "mini" }, `+${nodes.length - IN_STRIP}`)] : [];
    this.strip.replaceChildren(...some, ...more);
    const label = `Nodes: ${this.total.textContent}`;
    if (this.strip.getAttribute("aria-label") !== label) this.strip.setAttribute("aria-label", label);
  }
}

/** One node. */
class Card {
  constructor(name) {
    this.name = h("h3", null, name);
    this.role = h("span", { class: "role" });
    this.here = h("span", { class: "here", hidden: true }, "serves this page");
    this.state = h("p", { class: "node-state", hidden: true });
    this.workers = h("p", { class: "workers" });
    this.cpu = new Bar("Processor", false);
    this.memory = new Bar("Memory", true);
    this.facts = h("p", { class: "hint" });
    this.quarantine = h("div", { class: "quarantine", hidden: true });
    this.offers = h("ul", { class: "names" });
    this.offersTitle = h("summary");
    this.details = h("details", null, this.offersTitle, this.offers);
    this.element = h(
      "li",
      { class: "card node" },
      h("header", null, this.name, h("span", { class: "marks" }, this.here, this.role)),
      this.state,
      this.workers,
      h("div", { class: "bars" }, this.cpu.element, this.memory.element),
      this.facts,
      this.quarantine,
      this.details,
    );
  }

  show(node, here) {
    this.element.dataset.role = node.role;
    this.element.dataset.state = node.state;
    write(this.role, ROLES[node.role] ?? node.role);
    this.here.hidden = !here;
    const words = node.uplink === false ? "the cloud cannot be reached" : (STATES[node.state] ?? node.state);
    write(this.state, words);
    this.state.hidden = !words;
    this.showWorkers(node);
    this.cpu.show(node.cpu);
    this.memory.show(node.memory);
    write(this.facts, facts(node, here).join(" · "));
    this.showNames(node);
  }

  showWorkers(node) {
    const queued = node.queued ? `, ${node.queued} waiting` : "";
    const words =
      node.running === null
        ? `${count(node.workers, "worker")}, load not known`
        : `${node.running} of ${count(node.workers, "worker")} busy${queued}`;
    if (this.said === words) return;
    this.said = words;
    this.workers.replaceChildren(pips(node), h("span", null, words));
  }

  showNames({ quarantined, tasks }) {
    const names = JSON.stringify([quarantined, tasks]);
    if (this.names === names) return;
    this.names = names;
    this.quarantine.hidden = !quarantined.length;
    const locked = quarantined.map((name) =>
      h("li", null, h("code", null, name.split("#")[0]), name.includes("#") && " with certain arguments"),
    );
    this.quarantine.replaceChildren(h("p", null, "In quarantine, because it killed workers:"), h("ul", null, locked));
    this.details.hidden = !tasks.length;
    write(this.offersTitle, count(tasks.length, "task"));
    this.offers.replaceChildren(...tasks.map((name) => h("li", null, h("code", null, name))));
  }
}

function facts(node, here) {
  return [
    node.wait_ms >= 1 && `a new task would wait ${duration(node.wait_ms)}`,
    !here && node.round_trip_ms !== null && `${duration(node.round_trip_ms)} away`,
    node.reliability < 0.995 && `${percent(node.reliability)} % reliable`,
  ].filter(Boolean);
}

/** A labelled bar from 0 to 100 %. One that warns is of another colour where it is nearly full: a busy processor is no harm. */
class Bar {
  constructor(name, warns) {
    this.warns = warns;
    this.fill = h("i");
    this.number = h("span", { class: "number", "aria-hidden": "true" });
    this.meter = h(
      "div",
      { class: "meter", role: "meter", "aria-label": name, "aria-valuemin": 0, "aria-valuemax": 100 },
      this.fill,
    );
    this.element = h("div", { class: "bar" }, h("span", { "aria-hidden": "true" }, name), this.meter, this.number);
  }

  show(fraction) {
    const known = fraction !== null && fraction !== undefined;
    const value = known ? percent(fraction) : 0;
    this.meter.setAttribute("aria-valuenow", value);
    this.meter.setAttribute("aria-valuetext", known ? `${value} %` : "not known");
    this.meter.dataset.high = this.warns && value >= 90;
    this.fill.style.width = `${value}%`;
    write(this.number, known ? `${value} %` : "–");
  }
}

/** A square for each worker, filled where it is busy. */
function pips({ workers, running }) {
  const shown = Math.min(workers, MOST_PIPS);
  return h(
    "span",
    { class: "pips", "aria-hidden": "true" },
    Array.from({ length: shown }, (_, index) => h("i", { class: index < running ? "busy" : null })),
  );
}

function sum(nodes, name) {
  return nodes.reduce((total, node) => total + (node.state === "there" ? (node[name] ?? 0) : 0), 0);
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

customElements.define("fog-nodes", FogNodes);
