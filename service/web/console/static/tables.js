// The tables: a row is corrected or deleted.
import { clearProblem, confirmed, find, onSubmit, send, showError, showProblem, toastNext } from "./console.js";
import { explained, jsonOf, suggestIn } from "./fields.js";

suggestIn(document);

// Leave empty inputs out of the address of a search.
find(".search")?.addEventListener("formdata", ({ formData }) => {
  const pairs = [...formData];
  for (const [name] of pairs) formData.delete(name);
  for (const [name, value] of pairs) if (value) formData.append(name, value);
});

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

/** Show who has changed the row, and offer to reload it. */
async function showConflict(what) {
  const { address, last } = form.dataset;
  const reply = await send("GET", `${address}/changes?after=${last}`);
  const known = reply.ok ? reply.body.rows.map(described) : [];
  // 404: nobody ever changed or deleted it.
  if ((reply.ok || reply.status === 404) && !known.length) known.push("A load or a restore did it.");
  const place = find("#conflict");
  place.querySelector("p").textContent = [what, ...known].join(" ");
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
  await explained();
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
