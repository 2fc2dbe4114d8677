// Forms that start or confirm jobs, and the progress of a running job.
import { find, number, onSubmit, post } from "./console.js";

onSubmit("#backup", (form, button) =>
  post(`/console/backups?${new URLSearchParams({ table: form.get("table") })}`, {}, button));

onSubmit("#confirm", (form, button) =>
  post(`/console/jobs/${find("#job").dataset.id}/confirm`, { word: form.get("word") ?? "" }, button));

for (const button of document.querySelectorAll("[data-post]"))
  button.addEventListener("click", () => post(button.dataset.post, {}, button));

// Enable the buttons: they are disabled in the page, because they need this script.
for (const button of document.querySelectorAll("#backup button, #confirm button, [data-post]"))
  button.disabled = false;

/** Show the progress of a job while it is running. */
function watch(id) {
  const events = new EventSource(`/console/jobs/${id}/events`);
  events.onmessage = (event) => {
    const summary = JSON.parse(event.data);
    if (summary.state !== "running") {
      events.close();
      location.reload();
      return;
    }
    if (summary.share) Object.assign(find("#progress"), { max: 100, value: summary.share });
    find("#counts").textContent = summary.message;
    showFiles(summary.rows);
  };
  // The browser reconnects after a broken connection, but not after an error such as 503.
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) setTimeout(watch, 3000, id);
  };
}

/** Show the state and the counts of each file of a load. */
function showFiles(files) {
  const rows = document.querySelectorAll("#files tbody tr");
  if (files[0]?.state && rows.length !== files.length) location.reload(); // the table begins now
  rows.forEach((row, at) => row.querySelectorAll("[data-name]").forEach((cell) => {
    const value = files[at][cell.dataset.name];
    cell.textContent = typeof value === "number" ? number(value) : value;
  }));
}

const job = find("#job");
if (job?.dataset.state === "running") watch(job.dataset.id);
