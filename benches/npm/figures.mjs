// What several rounds have measured, and the table of it: medians, the best, and ratios to the first subject.

const sorted = (list) => [...list].sort((a, b) => a - b);
export const median = (list) => sorted(list)[list.length >> 1];

export class Figures {
  #rows = new Map();
  #subjects;

  /** Ratios are to the first of the subjects. */
  constructor(subjects) {
    this.#subjects = subjects;
  }

  note(row, subject, figure) {
    if (!this.#rows.has(row)) this.#rows.set(row, new Map());
    const figures = this.#rows.get(row);
    figures.set(subject, [...(figures.get(subject) ?? []), figure]);
  }

  /** The subjects in the order of a round, so that none always comes first. */
  turns(round) {
    return this.#subjects.map((_, n) => this.#subjects[(n + round) % this.#subjects.length]);
  }

  print(title) {
    if (this.#rows.size === 0) return;
    const others = this.#subjects.slice(1);
    const cells = (list) => list.map((cell) => cell.padStart(18)).join("");
    console.log(`\n${title}; median (best)`);
    console.log(`${"".padEnd(58)}${cells(this.#subjects)}${cells(others.map((name) => `${name} ratio`))}`);
    for (const [row, figures] of this.#rows) {
      const measured = this.#subjects.map((name) => figures.get(name));
      const shown = measured.map((list) => (list ? `${median(list).toFixed(2)} (${sorted(list)[0].toFixed(2)})` : "-"));
      const [base, ...rest] = measured.map((list) => list && [median(list), sorted(list)[0]]);
      const ratios = rest.map((pair) =>
        base && pair ? `${(pair[0] / base[0]).toFixed(2)} (${(pair[1] / base[1]).toFixed(2)})` : "-");
      console.log(`${row.padEnd(58)}${cells(shown)}${cells(ratios)}`);
    }
  }
}
