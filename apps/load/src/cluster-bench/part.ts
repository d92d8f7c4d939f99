/** What a part of the benchmark found: a table for people, and a record of each measurement for machines. */
export interface Part {
  title: string;
  rows: string[][];
  records: object[];
}

export interface Settings {
  /** Short and rough. */
  quick: boolean;
  progress: (text: string) => void;
}

export const median = (values: number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number;
export const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
