/** Every order in which the steps of several actors can come, each actor's own steps in theirs. */

/** @param steps how many each actor has. @returns orders of actors by their number: [0, 1, 1, 0] */
export function allOrders(steps: readonly number[]): number[][] {
  if (steps.every((left) => left === 0)) return [[]];
  return steps.flatMap((left, actor) => {
    if (left === 0) return [];
    const rest = steps.map((count, other) => (other === actor ? count - 1 : count));
    return allOrders(rest).map((order) => [actor, ...order]);
  });
}

/** One actor after another, whole: [0, 0, 1, 1] and [1, 1, 0, 0]. */
export function serialOrders(steps: readonly number[]): number[][] {
  return allOrders(steps.map(() => 1)).map((actors) =>
    actors.flatMap((actor) => Array.from({ length: steps[actor] ?? 0 }, () => actor)),
  );
}
