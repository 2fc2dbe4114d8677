// Forms that begin or confirm work, and a job that is watched while it runs.
const find = (selector) => document.querySelector(selector);

function complain(text) {
  const place = find("#trouble");
  place.textContent = text;
  place.hidden = false;
  place.scrollIntoView({ block: "nearest" });
}

/** Begin or confirm work and go to its page, or say what to do instead. */
async function post(address, body, button) {
  button.disabled = true;
  try {
    const reply = await fetch(address, { method: "POST", body, headers: body instanceof File
      ? { "Content-Type": "application/octet-stream" } : { "Content-Type": "application/json" } });
    const told = await reply.json();
    if (reply.ok) {
      const there = `/console/jobs/${told.job}`;
      if (location.pathname === there) location.reload();
      else location.assign(there);
      return;
    }
    complain(told.detail);
  } catch {
    complain("The service does not answer. See that it runs, then try again.");
  }
  button.disabled = false;
}

function onSubmit(selector, send) {
  find(selector)?.addEventListener("submit", (event) => {
    event.preventDefault();
    send(new FormData(event.target), event.target.querySelector("button"));
  });
}

onSubmit("#backup", (form, button) =>
  post(`/console/backups?${new URLSearchParams({ table: form.get("table") })}`, "{}", button));

onSubmit("#confirm", (form, button) =>
  post(`/console/jobs/${find("#job").dataset.id}/confirm`, JSON.stringify({ word: form.get("word") ?? "" }), button));

onSubmit("#load", (form, button) => {
  const file = find("#file").files[0];
  const wanted = new URLSearchParams({
    table: form.get("table"), name: file.name,
    on_conflict: form.get("on_conflict"), assume_utc: form.has("assume_utc"),
  });
  post(`/console/loads?${wanted}`, file, button);
});

for (const button of document.querySelectorAll("[data-post]"))
  button.addEventListener("click", () => post(button.dataset.post, "{}", button));

const drop = find(".drop");
if (drop) {
  const input = find("#file");
  const guess = () => {
    const stem = input.files[0]?.name.split(".")[0];
    for (const option of find("[name=table]").options)
      if (stem === option.value || stem === option.dataset.name) option.selected = true;
  };
  input.addEventListener("change", guess);
  for (const kind of ["dragover", "dragleave", "drop"])
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files.length) {
        input.files = event.dataTransfer.files;
        guess();
      }
    });
}

/** Show how far a job is, until it runs no more. */
function watch(id) {
  const events = new EventSource(`/console/jobs/${id}/events`);
  events.onmessage = (event) => {
    const told = JSON.parse(event.data);
    if (told.state !== "running") {
      events.close();
      location.reload();
      return;
    }
    if (told.share) Object.assign(find("#progress"), { max: 100, value: told.share });
    find("#counts").textContent = told.message || told.rows.map((row) =>
      Object.entries(row).map(([name, value]) => `${name} ${value.toLocaleString("en")}`).join(", ")).join("; ");
  };
  // A refusal (the database is away) ends it for good, unlike a broken connection.
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) setTimeout(watch, 3000, id);
  };
}

const job = find("#job");
if (job?.dataset.state === "running") watch(job.dataset.id);
