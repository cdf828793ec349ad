// The options of a trace, by the table that `make options` writes: bounds, defaults and help of fields.
import table from "../options.json";

interface Schema {
  type: string;
  minimum?: number;
  maximum?: number;
  maxItems?: number;
  default?: string | number;
}

interface Option {
  name: string;
  help: string;
  unit: string;
  schema: Schema;
}

type Field = HTMLInputElement | HTMLSelectElement;

/** All options of a trace. */
export const OPTIONS: Option[] = table;

/** The options that a form has a field for, each with its field. */
export function fields(form: HTMLFormElement): [Option, Field][] {
  return OPTIONS.flatMap((option) => {
    const field = form.elements.namedItem(option.name) as Field | null;
    return field ? [[option, field] as [Option, Field]] : [];
  });
}

/** Give a form's fields their bounds, their help, and the default as the hint of an empty field. */
export function describeFields(form: HTMLFormElement): void {
  for (const [{ help, unit, schema }, field] of fields(form)) {
    field.title = unit ? `${help} Unit: ${unit}.` : help;
    if (field instanceof HTMLSelectElement) {
      field.value = String(schema.default);
      continue;
    }
    if (schema.type === "integer" || schema.type === "number") {
      if (schema.minimum !== undefined) field.min = String(schema.minimum);
      if (schema.maximum !== undefined) field.max = String(schema.maximum);
      field.step = schema.type === "integer" ? "1" : "any";
    }
    if (schema.default !== undefined) field.placeholder = String(schema.default);
  }
}

/** The options that the user filled in; the server's defaults hold for the others. */
export function query(form: HTMLFormElement): URLSearchParams {
  const result = new URLSearchParams();
  for (const [option, field] of fields(form)) {
    const value = field.value.replaceAll(" ", "");
    if (value) result.set(option.name, value);
  }
  return result;
}
