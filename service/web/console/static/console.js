// Forms that start or confirm jobs, and the progress of a running job.
export const find = (selector) => document.querySelector(selector);

export function showError(text) {
  const place = find("#trouble");
  place.textContent = text;
  place.hidden = false;
  place.scrollIntoView({ block: "nearest" });
}

/** Start or confirm a job and open its page, or show the error. */
export async function post(address, body, button) {
  button.disabled = true;
  try {
    const reply = await fetch(address, { method: "POST", body, headers: body instanceof File
      ? { "Content-Type": "application/octet-stream" } : { "Content-Type": "application/json" } });
    const result = await reply.json();
    if (reply.ok) {
      const page = `/console/jobs/${result.job}`;
      if (location.pathname === page) location.reload();
      else location.assign(page);
      return;
    }
    showError(result.detail);
  } catch {
    showError("The service does not answer. Check that it is running, then try again.");
  }
  button.disabled = false;
}

export function onSubmit(selector, send) {
  find(selector)?.addEventListener("submit", (event) => {
    event.preventDefault();
    send(new FormData(event.target), event.target.querySelector("button"));
  });
}

onSubmit("#backup", (form, button) =>
  post(`/console/backups?${new URLSearchParams({ table: form.get("table") })}`, "{}", button));

onSubmit("#confirm", (form, button) =>
  post(`/console/jobs/${find("#job").dataset.id}/confirm`, JSON.stringify({ word: form.get("word") ?? "" }), button));

for (const button of document.querySelectorAll("[data-post]"))
  button.addEventListener("click", () => post(button.dataset.post, "{}", button));

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
    find("#counts").textContent = summary.message || summary.rows.map((row) =>
      Object.entries(row).map(([name, value]) => `${name} ${value.toLocaleString("en")}`).join(", ")).join("; ");
  };
  // The browser reconnects after a broken connection, but not after an error such as 503.
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) setTimeout(watch, 3000, id);
  };
}

const job = find("#job");
if (job?.dataset.state === "running") watch(job.dataset.id);
