#!/usr/bin/env bash
# A prompt that XlsxWriter 3.3 writes as a formula is read as the prompt "0".
#
# Expected: a column =A2&" in the "&B2 in a workbook that no spreadsheet program has opened yet is read as its text or as empty,
#           so that the row is refused; openpyxl's own workbook is read as empty.
# Seen: XlsxWriter stores the result 0 beside every formula that was given none. openpyxl (data_only), calamine and pandas read
#       0, a value like any other: a reader that turns cells into text orders a picture of "0" for each row.
# So: a formula cell is no prompt: a workbook is read twice, once for formulas, and refused with the cell's name; or XlsxWriter is
#     given the text as the formula's value.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check xlsxwriter==3.3.1 openpyxl==3.1.5 python-calamine==0.9.1 pandas==3.1.1
cd "$d"
"$d/venv/bin/python" - <<'PY'
import openpyxl
import pandas
import python_calamine
import xlsxwriter

ROW = ["Ada", "rain", '=A2&" in the "&B2']

workbook = xlsxwriter.Workbook("xlsxwriter.xlsx")
sheet = workbook.add_worksheet()
sheet.write_row(0, 0, ["character", "scene", "prompt"])
sheet.write_row(1, 0, ROW)
workbook.close()

workbook = openpyxl.Workbook()
workbook.active.append(["character", "scene", "prompt"])
workbook.active.append(ROW)
workbook.save("openpyxl.xlsx")


def prompts(path: str) -> dict[str, object]:
    return {
        "openpyxl": openpyxl.load_workbook(path, data_only=True).active["C2"].value,
        "calamine": python_calamine.load_workbook(path).get_sheet_by_index(0).to_python()[1][2],
        "pandas": pandas.read_excel(path, engine="openpyxl", keep_default_na=False)["prompt"][0].item(),
    }


print(f"xlsxwriter {xlsxwriter.__version__}, openpyxl {openpyxl.__version__}, pandas {pandas.__version__}, calamine 0.9.1")
by_xlsxwriter = prompts("xlsxwriter.xlsx")
by_openpyxl = openpyxl.load_workbook("openpyxl.xlsx", data_only=True).active["C2"].value
print(f"expected: 'Ada in the rain', or empty\nseen: {by_xlsxwriter}; from openpyxl's workbook {by_openpyxl}")
seen = [list(by_xlsxwriter.values()), by_openpyxl]
recorded = [[0, 0, 0], None]
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
