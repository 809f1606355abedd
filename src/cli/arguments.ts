import { InvalidArgumentError } from 'commander';

/** @throws InvalidArgumentError, which commander tells with the option's name */
export function parseWhole(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('A whole number.');
}
