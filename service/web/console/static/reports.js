// The page of reports: print it.
import { find } from "./console.js";

const button = find("#print");
if (button) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}
