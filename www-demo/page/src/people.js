// Who is in the room.
import { avatar, byId, element } from "../../../src/dashboard/look/elements.js";

export function showPeople(people, me) {
  const items = people.map(({ name, connections }) => {
    const item = element("li");
    const text = element("span", "person", name === me ? `${name} (you)` : name);
    item.append(avatar(name), text);
    if (connections > 1) item.append(element("span", "fine", `${connections} windows`));
    return item;
  });
  byId("people").replaceChildren(...items);
  byId("nobody").hidden = items.length > 0;
}
