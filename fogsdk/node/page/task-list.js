/**
 * The tasks that the site offers: `<fog-tasks>`.
 */

import { count, h, prose } from "./dom.js";

const SEARCH_FROM = 9;

class FogTasks extends HTMLElement {
  connectedCallback() {
    this.replaceChildren(h("p", { class: "empty" }, "Looking for tasks …"));
  }

  /** Show these tasks, of those the ones that fit what is searched for. */
  show(tasks) {
    if (!tasks.length) {
      this.replaceChildren(
        h(
          "p",
          { class: "empty" },
          "No node offers a task yet. Give one some, with ",
          h("code", null, "fognode --tasks MODULE"),
          ".",
        ),
      );
      return;
    }
    this.tasks = tasks;
    this.search ??= h("input", {
      type: "search",
      placeholder: "Find a task",
      "aria-label": "Find a task",
      autocapitalize: "off",
      input: () => this.filter(),
    });
    this.list = h("ul", { class: "tasks" });
    this.none = h("p", { class: "empty", role: "status" });
    this.replaceChildren(...(tasks.length >= SEARCH_FROM ? [this.search] : []), this.list, this.none);
    this.filter();
  }

  filter() {
    const words = this.search.value.toLowerCase().split(/\s+/);
    const found = this.tasks.filter(({ name, summary }) =>
      words.every((word) => `${name} ${summary}`.toLowerCase().includes(word)),
    );
    this.list.replaceChildren(...found.map((task) => this.item(task)));
    this.none.textContent = found.length ? "" : "No task is called that.";
    this.mark(this.marked);
  }

  item(task) {
    const where = task.nodes.length > 1 ? `on ${count(task.nodes.length, "node")}` : `on ${task.nodes[0]}`;
    const facts = [
      task.weight === "auto" ? null : task.weight,
      task.split ? "shared out in parts" : null,
      where,
    ].filter(Boolean);
    return h(
      "li",
      null,
      h(
        "a",
        { href: `#/task/${encodeURIComponent(task.name)}`, "data-task": task.name },
        h("strong", null, task.name),
        task.summary && h("span", { class: "summary" }, prose(task.summary)),
        h("small", { class: `weight ${task.weight}` }, facts.join(" · ")),
      ),
    );
  }

  /** Show which task is open. */
  mark(name) {
    this.marked = name;
    for (const link of this.querySelectorAll("a")) {
      if (link.dataset.task === name) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }
}

customElements.define("fog-tasks", FogTasks);
