-- Reads unified diffs: what a text becomes by one, so that both can be shown side by side.

local M = {}

---@class beast.Hunk
---@field first integer First line of the old text, from 1.
---@field old string[]
---@field new string[]

---@param line string
---@return string
local function bare(line)
  return (line:gsub('\r$', ''))
end

--- Splits the diff of one file into its hunks.
---@param diff string
---@return beast.Hunk[]
function M.hunks(diff)
  local found, hunk = {}, nil
  for _, line in ipairs(vim.split(diff, '\n', { plain = true })) do
    local first, count = line:match('^@@ %-(%d+),?(%d*) %+%d+,?%d* @@')
    local sign, text = line:sub(1, 1), bare(line:sub(2))
    if first then
      -- A hunk that removes nothing names the line before it.
      hunk = { first = tonumber(first) + (count == '0' and 1 or 0), old = {}, new = {} }
      found[#found + 1] = hunk
    elseif hunk and (sign == ' ' or sign == '-' or sign == '+') then
      if sign ~= '+' then
        hunk.old[#hunk.old + 1] = text
      end
      if sign ~= '-' then
        hunk.new[#hunk.new + 1] = text
      end
    end
  end
  return found
end

--- Applies the diff of one file.
---@param lines string[] The old text, without line ends.
---@param diff string
---@return string[]? # The new text; nil: the diff was made of another text.
function M.apply(lines, diff)
  local made, at = {}, 1
  for _, hunk in ipairs(M.hunks(diff)) do
    vim.list_extend(made, lines, at, hunk.first - 1)
    for offset, expected in ipairs(hunk.old) do
      if bare(lines[hunk.first + offset - 1] or '\n') ~= expected then
        return nil
      end
    end
    vim.list_extend(made, hunk.new)
    at = hunk.first + #hunk.old
  end
  return vim.list_extend(made, lines, at)
end

return M
