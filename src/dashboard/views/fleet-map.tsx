/** Every shard as a cell, coloured by its owner; one that moves has its heir's colour inside, one without an owner is hollow. */
import { useEffect, useRef } from 'preact/hooks';
import { colourOf, paletteVersion } from '../theme.ts';
import type { Shard } from './fleet-data.ts';
import { columnsFor, OWNER_COLOURS } from './fleet-model.ts';

export interface ShardMapProps {
  readonly shards: readonly Shard[];
  readonly colours: ReadonlyMap<string, number>;
  readonly chosen: number | null;
  readonly label: string;
  /** Null: the pointer has left. */
  readonly onPoint: (shard: number | null) => void;
  readonly onChoose: (shard: number) => void;
}

export function ShardMap({ shards, colours, chosen, label, onPoint, onChoose }: ShardMapProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const columns = columnsFor(shards.length);
  const rows = Math.max(1, Math.ceil(shards.length / columns));
  // Another palette is drawn with other colours.
  const palette = paletteVersion.value;

  useEffect(() => {
    const element = canvas.current;
    if (element === null) return undefined;
    const paint = () => draw(element, { shards, colours, chosen, columns, rows });
    // Tells of the size at once, and whenever it changes.
    const resized = new ResizeObserver(paint);
    resized.observe(element);
    return () => resized.disconnect();
  }, [shards, colours, chosen, columns, rows, palette]);

  const shardAt = (event: PointerEvent): number | null => {
    const element = canvas.current;
    if (element === null) return null;
    const box = element.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
    const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
    return column < 0 || column >= columns ? null : (shards[row * columns + column]?.shard ?? null);
  };

  return (
    <canvas
      ref={canvas}
      class="shard-map"
      role="img"
      aria-label={label}
      style={{ aspectRatio: `${columns} / ${rows}` }}
      onPointerMove={(event) => {
        if (event.pointerType === 'mouse') onPoint(shardAt(event));
      }}
      onPointerLeave={() => onPoint(null)}
      onPointerDown={(event) => {
        const shard = shardAt(event);
        if (shard !== null) onChoose(shard);
      }}
    />
  );
}

interface Picture extends Pick<ShardMapProps, 'shards' | 'colours' | 'chosen'> {
  readonly columns: number;
  readonly rows: number;
}

function draw(canvas: HTMLCanvasElement, { shards, colours, chosen, columns, rows }: Picture): void {
  const scale = devicePixelRatio;
  const width = Math.round(canvas.clientWidth * scale);
  const height = Math.round(canvas.clientHeight * scale);
  const pen = canvas.getContext('2d');
  if (pen === null || width === 0 || height === 0) return;
  canvas.width = width;
  canvas.height = height;
  const palette = Array.from({ length: OWNER_COLOURS }, (_, index) => colourOf(`owner-${index}`));
  const [hollow, ink, ground] = [colourOf('owner-none'), colourOf('ink'), colourOf('surface')];
  const of = (worker: string) => palette[colours.get(worker) ?? -1] ?? hollow;
  // On whole pixels, so that the gaps between cells are all alike.
  const left = (column: number) => Math.round((column * width) / columns);
  const top = (row: number) => Math.round((row * height) / rows);
  const gap = Math.max(1, Math.round(scale));

  shards.forEach(({ shard, owner, heir, pin }, index) => {
    const [x, y] = [left(index % columns), top(Math.floor(index / columns))];
    const w = left((index % columns) + 1) - x - gap;
    const h = top(Math.floor(index / columns) + 1) - y - gap;
    if (owner === null) {
      pen.strokeStyle = hollow;
      pen.lineWidth = gap;
      pen.strokeRect(x + gap / 2, y + gap / 2, w - gap, h - gap);
    } else {
      pen.fillStyle = of(owner.worker);
      pen.fillRect(x, y, w, h);
    }
    if (heir !== null) {
      pen.fillStyle = ground;
      pen.fillRect(x + w * 0.15, y + h * 0.15, w * 0.7, h * 0.7);
      pen.fillStyle = of(heir.worker);
      pen.fillRect(x + w * 0.28, y + h * 0.28, w * 0.44, h * 0.44);
    }
    if (pin !== null) {
      const corner = Math.ceil(w * 0.4);
      pen.fillStyle = ink;
      pen.fillRect(x + w - corner, y, corner, corner);
    }
    if (shard === chosen) {
      pen.strokeStyle = ink;
      pen.lineWidth = 2 * gap;
      pen.strokeRect(x, y, w, h);
    }
  });
}
