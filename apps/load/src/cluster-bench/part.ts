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
