/**
 * What became of the tasks: `<fog-results>`, with a card for each, `<fog-ask>`.
 */

import { announce, count, duration, h, percent, uniqueId } from "./dom.js";
import { release, view } from "./value.js";

const STATES = {
  sending: "on its way",
  waiting: "waiting for a worker",
  running: "running",
  done: "done",
  failed: "failed",
  refused: "refused",
  expired: "too late",
  cancelled: "cancelled",
  forgotten: "not known any more",
};

/** What can be done about a refusal, by the protocol's word for it. */
const ADVICE = {
  overloaded: "All workers are busy and the queue is full. Try again in a moment.",
  quarantined: "This task killed the workers that ran it, so it is not run for a while.",
  "unknown-task": "No node offers this task any more.",
  "bad-arguments": "The task does not take these arguments.",
  "too-large": "The arguments are too large.",
  "no-cloud": "This task needs the cloud, which cannot be reached now.",
  unauthorized: "The node did not let this page in.",
};

class FogAsk extends HTMLElement {
  /** Show an ask, and follow it. */
  show(ask) {
    this.ask = ask;
    this.classList.add("card");
    const title = uniqueId("ask");
    this.setAttribute("role", "group");
    this.setAttribute("aria-labelledby", title);
    this.state = h("span", { class: "state" });
    this.body = h("div", { class: "body" });
    const time = new Date(ask.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    this.replaceChildren(
      h("header", null, h("h3", { id: title, tabindex: -1 }, ask.task), this.state),
      h(
        "p",
        { class: "label-line" },
        h("time", { datetime: new Date(ask.at).toISOString() }, time),
        ask.label && ` · ${ask.label}`,
      ),
      this.body,
    );
    ask.addEventListener("change", () => this.update());
    this.update();
    return this;
  }

  update() {
    const { ask } = this;
    const words = ask.broken
      ? "connection lost, trying again"
      : ask.cancelling && !ask.settled
        ? "cancelling"
        : STATES[ask.state];
    if (this.state.textContent !== words) {
      this.state.textContent = words;
      this.dataset.state = ask.broken ? "broken" : ask.state;
    }
    if (!ask.settled) this.moving();
    else if (!this.finished) this.finish();
  }

  moving() {
    const { ask } = this;
    if (!this.bar) {
      this.bar = h("progress", { "aria-label": `Progress of ${ask.task}`, max: 100 });
      this.about = h("span", { class: "hint" });
      this.cancel = h(
        "button",
        { type: "button", class: "cancel", click: () => ask.cancel() },
        "Cancel",
        h("span", { class: "visually-hidden" }, ` ${ask.task}`),
      );
      this.body.replaceChildren(this.bar, h("div", { class: "row" }, this.about, this.cancel));
    }
    if (ask.fraction === null) this.bar.removeAttribute("value");
    else this.bar.value = percent(ask.fraction);
    this.cancel.disabled = ask.cancelling;
    const far = ask.fraction === null ? "" : `${percent(ask.fraction)} %`;
    this.about.textContent = [far, ask.node && `${ask.node} has it`].filter(Boolean).join(" · ");
    this.announceProgress();
  }

  announceProgress() {
    const quarter = Math.floor((this.ask.fraction ?? 0) * 4);
    if (quarter > (this.quarter ?? 0) && quarter < 4) announce(`${this.ask.task}: ${quarter * 25} %`);
    this.quarter = quarter;
  }

  finish() {
    this.finished = true;
    const { ask } = this;
    const hadFocus = this.body.contains(document.activeElement);
    const content = ask.state === "done" ? h("div", { class: "value" }, this.value()) : this.wrong();
    this.body.replaceChildren(content, trace(ask));
    if (hadFocus) this.querySelector("h3").focus({ preventScroll: true });
    announce(`${ask.task}: ${STATES[ask.state]}${ask.problem?.detail ? `. ${ask.problem.detail}` : ""}`);
  }

  value() {
    try {
      return view(this.ask.value, this.ask.task);
    } catch (error) {
      return h("p", { class: "error" }, `This page cannot show the result: ${error.message}`);
    }
  }

  wrong() {
    const { ask } = this;
    const { reason, detail, error, message, traceback } = ask.problem ?? {};
    const lines = {
      failed: [h("p", null, h("strong", null, error ?? "It failed"), message ? `: ${message}` : "")],
      refused: [
        h("p", null, h("strong", null, ADVICE[reason] ?? "The node refused it.")),
        detail && h("p", { class: "hint" }, detail),
      ],
      expired: [h("p", null, detail || "Its deadline passed before it was done.")],
      cancelled: [h("p", { class: "hint" }, "It was stopped.")],
      forgotten: [
        h(
          "p",
          null,
          "This page was away for long, and the node keeps no result for so long. It may have run. Ask again to run it anew.",
        ),
      ],
    }[ask.state];
    const more =
      traceback && h("details", null, h("summary", null, "Where it went wrong"), h("pre", { tabindex: 0 }, traceback));
    const again = ask.args.length || ask.kwargs.size || !ask.label;
    return h(
      "div",
      { class: "problem" },
      lines,
      more,
      again &&
        h("div", { class: "row" }, h("span"), h("button", { type: "button", click: () => this.again() }, "Try again")),
    );
  }

  again() {
    this.dispatchEvent(new CustomEvent("again", { bubbles: true, detail: this.ask }));
  }

  disconnectedCallback() {
    release(this);
  }
}

// ---------------------------------------------------------------- where it ran, and why

const ACTIONS = {
  ran: "ran it",
  sent: "handed it on",
  split: "split it into parts",
  merged: "put the parts together",
  hedged: "took longer than usual: a second node was asked too",
  lost: "had it and was lost",
};

function trace(ask) {
  const { trace: hops, took } = ask;
  const runners = [...new Set(hops.filter((hop) => hop.action === "ran").map((hop) => hop.node))];
  const parts = hops.filter((hop) => hop.action === "ran").length;
  const all = took === null ? "" : `${duration(took)} in all`;
  if (!hops.length) return all && h("p", { class: "where" }, all);
  const where = runners.length ? `ran on ${new Intl.ListFormat("en").format(runners.sort())}` : "it did not run";
  const shared = parts > 1 ? ` in ${count(parts, "part")}` : "";
  const longest = Math.max(1, ...hops.map((hop) => (hop.queued ?? 0) + (hop.ran ?? 0)));
  return h(
    "details",
    { class: "trace" },
    h("summary", null, h("span", null, `${where}${shared}`), h("span", { class: "took" }, all)),
    h(
      "ol",
      null,
      hops.map((hop) => step(hop, longest)),
    ),
  );
}

function step({ node, action, why, part, queued = 0, ran = 0 }, longest) {
  const times = [queued >= 1 && `waited ${duration(queued)}`, ran > 0 && `ran ${duration(ran)}`]
    .filter(Boolean)
    .join(", ");
  const bar = h(
    "span",
    { class: "times", "aria-hidden": "true" },
    h("i", { class: "queued" }),
    h("i", { class: "ran" }),
  );
  bar.firstChild.style.width = `${(queued / longest) * 100}%`;
  bar.lastChild.style.width = `${(ran / longest) * 100}%`;
  return h(
    "li",
    { class: action },
    h(
      "p",
      null,
      h("b", null, node),
      ` ${ACTIONS[action] ?? action}`,
      part !== undefined && part !== null && h("span", { class: "part" }, ` part ${part + 1}`),
    ),
    why && h("p", { class: "why" }, why),
    times && h("p", { class: "hint" }, times),
    (queued || ran) > 0 && bar,
  );
}

// ---------------------------------------------------------------- all of them

class FogResults extends HTMLElement {
  connectedCallback() {
    this.replaceChildren(
      h("p", { class: "empty" }, "What you ask the fog for shows up here, and stays until you close this tab."),
    );
  }

  /** Show one more, above the others. */
  add(ask) {
    this.querySelector(".empty")?.remove();
    this.prepend(document.createElement("fog-ask").show(ask));
  }
}

customElements.define("fog-ask", FogAsk);
customElements.define("fog-results", FogResults);
