// The tables: names of parents are suggested, a row is corrected or deleted.
import { clearProblem, confirmed, find, onSubmit, send, showError, showProblem, toastNext } from "./console.js";

const PAUSE_MS = 150;

/** The spellings that a search tries, because upper and lower case count. */
function spellings(text) {
  const lower = text.toLowerCase();
  return new Set([text, lower, text.toUpperCase(), lower.replace(/^\S/u, (first) => first.toUpperCase())]);
}

/** The parents whose names begin with one of these texts. */
async function parentsOf({ dataset }, texts) {
  const address = new URL(dataset.suggestions, location);
  for (const text of texts) address.searchParams.append(dataset.by, text);
  const reply = await send("GET", address);
  return reply.ok ? reply.body.rows : [];
}

/** Offer the parents whose names begin with what is typed. */
async function suggest(input) {
  const { by, gives } = input.dataset;
  const typed = input.value.trim();
  const rows = await parentsOf(input, typed ? spellings(typed) : []);
  if (typed === input.value.trim())
    input.list.replaceChildren(...rows.map((row) =>
      gives === "id" ? new Option(row[by], row.id) : new Option("", row[by])));
}

/** Say which parent a number means. A name becomes the number of its parent, if there is one. */
async function explain(input) {
  const { parents, by } = input.dataset;
  const note = input.closest("label").querySelector(".note");
  const typed = input.value.trim();
  if (typed && !/^\d+$/.test(typed)) {
    const named = (await parentsOf(input, [typed])).filter((row) => row[by] === typed);
    if (named.length === 1) input.value = named[0].id;
  }
  const reply = await send("GET", `${parents}?limit=1&id=${encodeURIComponent(input.value.trim())}`);
  note.textContent = reply.ok ? reply.body.rows[0]?.[by] ?? "There is no such row." : "";
}

let explained;

for (const input of document.querySelectorAll("[data-suggestions]")) {
  let pause;
  const later = () => {
    clearTimeout(pause);
    pause = setTimeout(suggest, PAUSE_MS, input);
  };
  input.addEventListener("focus", later);
  input.addEventListener("input", later);
  if (input.dataset.gives === "id")
    input.addEventListener("change", () => { explained = explain(input); });
}

// Empty inputs would only make the address of a search long.
find(".search")?.addEventListener("formdata", ({ formData }) => {
  for (const [name, value] of [...formData]) if (!value) formData.delete(name);
});

/** A value in JSON. Numbers are as they are typed, because they may have more digits than a float. */
function jsonOf({ value, dataset }) {
  if (!value && "optional" in dataset) return "null";
  const bare = { number: /^(0|-?[1-9]\d*)$/, boolean: /^(true|false)$/ }[dataset.typed];
  return bare?.test(value) ? value : JSON.stringify(value);
}

/** The fields that were changed, in JSON. */
function changesIn(form) {
  const changed = [...form.elements].filter((one) => one.name && one.value !== one.dataset.was);
  return changed.map((one) => `${JSON.stringify(one.name)}:${jsonOf(one)}`);
}

const form = find("#edit");
if (form) form.hidden = false;

function done(text) {
  toastNext(text);
  location.reload();
}

/** Say who changed the row meanwhile, and offer to reload it. */
async function showConflict(what) {
  const { address, last } = form.dataset;
  const reply = await send("GET", `${address}/changes?after=${last}`);
  const others = (reply.ok ? reply.body.rows : []).map(described);
  const place = find("#conflict");
  place.querySelector("p").textContent =
    [what, ...others.length ? others : ["A load or a restore did it."]].join(" ");
  place.hidden = false;
  place.scrollIntoView({ block: "nearest" });
}

function described({ changed_at: at, changed_by: by, before, after }) {
  const when = at.slice(0, 19).replace("T", " ");
  if (!after) return `${by} deleted it on ${when}.`;
  const fields = Object.keys(after).filter((name) => before[name] !== after[name]);
  const values = fields.map((name) => `${name} from ${before[name]} to ${after[name]}`);
  return `${by} changed ${values.join(", ")} on ${when}.`;
}

async function ask(method, body, headers, text) {
  clearProblem(form);
  find("#conflict").hidden = true;
  const { address, etag } = form.dataset;
  const reply = await send(method, address, body, { "If-Match": etag, ...headers });
  if (reply.ok) done(text);
  else if (reply.status === 412) await showConflict("The row has changed since you opened it. Nothing was saved.");
  else if (reply.status === 404) await showConflict("The row does not exist any more.");
  else showProblem(reply.body, form);
}

onSubmit("#edit", async () => {
  await explained;
  const changed = changesIn(form);
  if (changed.length)
    await ask("PATCH", `{${changed.join(",")}}`, { "Content-Type": "application/json" }, "The row was corrected.");
  else showError("No field is changed, so there is nothing to save.");
});

find("#delete")?.addEventListener("click", async () => {
  const text = "Delete this row? Its history keeps the row as it is now.";
  if (await confirmed(text, "Delete")) await ask("DELETE", undefined, {}, "The row was deleted.");
});

find("#conflict button")?.addEventListener("click", () => location.reload());
