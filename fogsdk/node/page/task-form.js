/**
 * The form of one task, made from its signature: `<fog-form>`. It sends `ask` with the arguments.
 */

import { LARGEST, position, whyNoPosition } from "./capture.js";
import { h, prose, size } from "./dom.js";
import { WrongInput, valueOf } from "./field.js";
import { parse } from "./signature.js";

const PRIORITIES = [
  ["when there is room", -50],
  ["normal", 0],
  ["before others", 50],
];
const LATITUDE = /^(lat|latitude)$/i;
const LONGITUDE = /^(lon|lng|long|longitude)$/i;
const ACCURACY = /^accuracy$/i;
const PLACE = /^(position|location|place|coordinates|coords|where|gps)$/i;

/** What stands in for a signature that cannot be read: all arguments as lists. */
const UNREADABLE = "(*args, **kwargs)";

class FogForm extends HTMLElement {
  kept = new Map();

  /** Show the form of a task, filled in as it was when it was last left. */
  show(task) {
    if (this.task) this.keep();
    this.task = task;
    this.signature = parse(task.signature) ?? parse(UNREADABLE);
    const before = this.kept.get(task.name) ?? new Map();
    this.fields = this.signature.parameters.map((parameter) =>
      document.createElement("fog-field").show(parameter, before.get(parameter.name)),
    );
    this.errorLine = h("p", { class: "error", role: "alert" });
    this.form = h(
      "form",
      { novalidate: true, submit: (event) => this.submit(event), keydown: (event) => this.key(event) },
      this.fields.length ? this.fields : h("p", { class: "hint" }, "It takes no arguments."),
      this.positionButton(),
      this.more(),
      this.errorLine,
      h(
        "div",
        { class: "actions" },
        h("a", { class: "button", href: "#/tasks" }, "All tasks"),
        h("button", { class: "primary" }, "Run in the fog"),
      ),
    );
    this.replaceChildren(
      h("h2", { tabindex: -1, id: "form-title" }, task.name),
      task.summary && h("p", { class: "summary" }, prose(task.summary)),
      this.form,
    );
  }

  keep() {
    this.kept.set(this.task.name, new Map(this.fields.map((field) => [field.parameter.name, field.kept()])));
  }

  key(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
  }

  // ------------------------------------------------------------ the position

  positionButton() {
    const named = (pattern, ...kinds) =>
      this.fields.find(({ parameter }) => pattern.test(parameter.name) && kinds.includes(parameter.type.kind));
    const numbers = ["float", "int", "any"];
    const targets = {
      latitude: named(LATITUDE, ...numbers),
      longitude: named(LONGITUDE, ...numbers),
      accuracy: named(ACCURACY, ...numbers),
      place: named(PLACE, "list", "dict", "any"),
    };
    if (!(targets.latitude && targets.longitude) && !targets.place) return null;
    const why = whyNoPosition();
    if (why) return h("p", { class: "note" }, why);
    const said = h("span", { class: "hint", role: "status" });
    const button = h(
      "button",
      { type: "button", click: () => this.fillPosition(targets, button, said) },
      "Use my position",
    );
    return h("div", { class: "position" }, button, said);
  }

  async fillPosition(targets, button, said) {
    button.disabled = true;
    said.textContent = "Finding out where you are …";
    try {
      const found = await position();
      for (const name of ["latitude", "longitude", "accuracy"]) targets[name]?.set(found[name]);
      targets.place?.set(targets.place.parameter.type.kind === "dict" ? found : [found.latitude, found.longitude]);
      said.textContent = `Within ${Math.max(1, Math.round(found.accuracy))} m`;
    } catch (error) {
      said.textContent = error.message;
    }
    button.disabled = false;
    button.focus();
  }

  // ------------------------------------------------------------ deadline and priority

  more() {
    this.deadline = h("input", {
      id: "deadline",
      inputmode: "decimal",
      autocomplete: "off",
      "aria-describedby": "deadline-hint deadline-error",
    });
    this.deadlineError = h("p", { class: "error", id: "deadline-error", hidden: true });
    const chips = PRIORITIES.map(([words, value]) =>
      h(
        "label",
        { class: "chip" },
        h("input", { type: "radio", name: "priority", value, checked: value === 0 }),
        h("span", null, words),
      ),
    );
    return h(
      "details",
      { class: "more" },
      h("summary", null, "Deadline and priority"),
      h(
        "div",
        { class: "field" },
        h("label", { class: "label", for: "deadline" }, "Deadline"),
        h(
          "p",
          { class: "hint", id: "deadline-hint" },
          "seconds within which the answer is wanted; empty: it may take as long as it takes",
        ),
        this.deadline,
        this.deadlineError,
      ),
      h(
        "div",
        { class: "field" },
        h("span", { class: "label", id: "priority-label" }, "Priority"),
        h("div", { class: "chips", role: "radiogroup", "aria-labelledby": "priority-label" }, chips),
      ),
    );
  }

  options() {
    const text = this.deadline.value.trim();
    const priority = Number(this.form.querySelector("[name=priority]:checked").value);
    try {
      const deadline = text ? valueOf(text, { kind: "float" }) : null;
      if (deadline !== null && !(deadline > 0)) throw new WrongInput("A number of seconds above 0 is needed.");
      this.deadlineError.hidden = true;
      this.deadline.removeAttribute("aria-invalid");
      return { deadline, priority };
    } catch (error) {
      this.deadlineError.textContent = error.message;
      this.deadlineError.hidden = false;
      this.deadline.setAttribute("aria-invalid", "true");
      this.querySelector("details").open = true;
      return null;
    }
  }

  // ------------------------------------------------------------ sending

  async submit(event) {
    event.preventDefault();
    this.errorLine.textContent = "";
    const read = await Promise.all(this.fields.map((field) => this.readField(field)));
    const wrong = this.fields.find((_, index) => !read[index]);
    const options = this.options();
    if (wrong || !options) {
      (wrong ?? this.deadline).focus();
      return;
    }
    const { args, kwargs, label, bytes } = gather(this.fields, read);
    if (bytes > LARGEST) {
      this.errorLine.textContent = `All files together have ${size(bytes)}; a task takes ${size(LARGEST)}.`;
      return;
    }
    this.keep();
    this.dispatchEvent(new CustomEvent("ask", { detail: { task: this.task.name, args, kwargs, options, label } }));
  }

  async readField(field) {
    try {
      const read = await field.read();
      field.clear();
      return read;
    } catch (error) {
      if (!(error instanceof WrongInput)) throw error;
      field.complain(error.message);
      return null;
    }
  }
}

/** Arguments by place as far as they go without a gap, the others by name. */
function gather(fields, read) {
  const found = { args: [], kwargs: new Map(), label: [], bytes: 0 };
  const further = fields.some(({ parameter }, index) => parameter.spread === "*" && read[index].value?.length);
  let gap = false;
  fields.forEach(({ parameter, files }, index) => {
    const byPlace = further && parameter.spread === "" && !parameter.keyword; // further ones follow it
    const { given, value } =
      byPlace && !read[index].given ? { given: true, value: parameter.fallback ?? null } : read[index];
    if (!given) gap ||= parameter.spread === "";
    else if (parameter.spread === "*") found.args.push(...value);
    else if (parameter.spread === "**") value.forEach((each, name) => found.kwargs.set(name, each));
    else if (gap || parameter.keyword) found.kwargs.set(parameter.name, value);
    else found.args.push(value);
    if (!given) return;
    found.bytes += (files ?? []).reduce((sum, file) => sum + file.bytes.length, 0);
    found.label.push(`${parameter.name} = ${brief(value, files)}`);
  });
  return { ...found, label: found.label.join(", ") };
}

function brief(value, files) {
  if (files?.length) return files.map((file) => file.name).join(", ");
  const text =
    value instanceof Map
      ? JSON.stringify(Object.fromEntries(value))
      : typeof value === "object"
        ? JSON.stringify(value)
        : String(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

customElements.define("fog-form", FogForm);
