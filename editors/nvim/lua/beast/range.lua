-- Where a request points: the selection or the cursor as positions of the protocol, and the diagnostics there.

local M = {}

---@class beast.Range
---@field start { line: integer, byte: integer } Zero-based.
---@field finish { line: integer, byte: integer } Exclusive.

---@param bufnr integer
---@param line integer
---@return string
local function text_of(bufnr, line)
  return vim.api.nvim_buf_get_lines(bufnr, line, line + 1, false)[1] or ''
end

--- Where the cursor is, as an empty range.
---@return beast.Range
function M.cursor()
  local at = vim.api.nvim_win_get_cursor(0)
  local place = { line = at[1] - 1, byte = at[2] }
  return { start = place, finish = vim.deepcopy(place) }
end

--- Whole lines.
---@param bufnr integer
---@param first integer From 1.
---@param last integer Inclusive.
---@return beast.Range
function M.lines(bufnr, first, last)
  return { start = { line = first - 1, byte = 0 }, finish = { line = last - 1, byte = #text_of(bufnr, last - 1) } }
end

--- What was selected last, to the character where it was selected by characters.
---@param bufnr integer
---@return beast.Range
local function selection(bufnr)
  local first, last = vim.api.nvim_buf_get_mark(bufnr, '<'), vim.api.nvim_buf_get_mark(bufnr, '>')
  if vim.fn.visualmode() ~= 'v' then
    return M.lines(bufnr, first[1], last[1])
  end
  local text = text_of(bufnr, last[1] - 1)
  local finish = math.min(last[2], #text)
  if vim.o.selection ~= 'exclusive' then
    finish = finish + #vim.fn.matchstr(text:sub(finish + 1), '.') -- with what combines with it
  end
  return { start = { line = first[1] - 1, byte = first[2] }, finish = { line = last[1] - 1, byte = finish } }
end

--- The range of a command: of its lines, which are the selection where they are the selected ones.
---@param bufnr integer
---@param count integer How many line numbers the command was given (`range` of |nvim_create_user_command()|).
---@param first integer
---@param last integer
---@return beast.Range
function M.of_command(bufnr, count, first, last)
  if count == 0 then
    return M.cursor()
  end
  local marks = { vim.api.nvim_buf_get_mark(bufnr, '<')[1], vim.api.nvim_buf_get_mark(bufnr, '>')[1] }
  if count == 2 and marks[1] == first and marks[2] == last then
    return selection(bufnr)
  end
  return M.lines(bufnr, first, last)
end

--- A range in the words of the protocol.
---@param bufnr integer
---@param range beast.Range
---@param encoding 'utf-8'|'utf-16'|'utf-32'
---@return lsp.Range
function M.protocol(bufnr, range, encoding)
  local function position(place)
    local text = text_of(bufnr, place.line)
    local byte = math.min(place.byte, #text)
    return { line = place.line, character = vim.str_utfindex(text, encoding, byte, false) }
  end
  return { start = position(range.start), ['end'] = position(range.finish) }
end

---@param diagnostic vim.Diagnostic
---@param encoding 'utf-8'|'utf-16'|'utf-32'
---@return lsp.Diagnostic
local function told(diagnostic, encoding)
  local range = {
    start = { line = diagnostic.lnum, byte = diagnostic.col },
    finish = { line = diagnostic.end_lnum or diagnostic.lnum, byte = diagnostic.end_col or diagnostic.col },
  }
  return {
    range = M.protocol(diagnostic.bufnr, range, encoding),
    message = diagnostic.message,
    severity = diagnostic.severity,
    source = diagnostic.source,
    code = diagnostic.code,
  }
end

--- What is wrong with the lines of a range, as other servers and linters say.
---@param bufnr integer
---@param range beast.Range
---@param encoding 'utf-8'|'utf-16'|'utf-32'
---@return lsp.Diagnostic[]
function M.diagnostics(bufnr, range, encoding)
  local found = {}
  for _, diagnostic in ipairs(vim.diagnostic.get(bufnr)) do
    local last = diagnostic.end_lnum or diagnostic.lnum
    if diagnostic.lnum <= range.finish.line and last >= range.start.line then
      found[#found + 1] = told(diagnostic, encoding)
    end
  end
  return found
end

return M
