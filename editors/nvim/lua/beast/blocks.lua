-- Code blocks of a conversation: copied, inserted into the file that it is about, or compared with it.

local notice = require('beast.notice')

local M = {}

---@class beast.Block
---@field language string
---@field lines string[]
---@field first integer Line of its opening fence, from 1.
---@field last integer Line of its closing fence; of the last line where none came yet.

--- The fenced code blocks of a text.
---@param lines string[]
---@return beast.Block[]
function M.all(lines)
  local found, block, fence = {}, nil, nil
  for number, line in ipairs(lines) do
    local marks, language = line:match('^%s*(```+)%s*([^`]*)$')
    if not marks then
      marks, language = line:match('^%s*(~~~+)%s*(.*)$')
    end
    if not block and marks then
      block, fence = { language = vim.trim(language), lines = {}, first = number, last = number }, marks
      found[#found + 1] = block
    elseif block and marks and vim.startswith(marks, fence) and vim.trim(language) == '' then
      block.last, block = number, nil
    elseif block then
      block.lines[#block.lines + 1] = line
      block.last = number
    end
  end
  return found
end

--- The block at the cursor, else the last one above it.
---@return beast.Block?
local function here()
  local row = vim.api.nvim_win_get_cursor(0)[1]
  local found
  for _, block in ipairs(M.all(vim.api.nvim_buf_get_lines(0, 0, -1, false))) do
    if block.first <= row then
      found = block
    end
  end
  if not found then
    notice.info('there is no code block above.')
  end
  return found
end

--- Copies the block at the cursor into the unnamed register.
function M.yank()
  local block = here()
  if block then
    vim.fn.setreg('"', block.lines, 'l')
    notice.info(('copied %d lines.'):format(#block.lines))
  end
end

---@param window? integer
---@return boolean
local function usable(window)
  if window and vim.api.nvim_win_is_valid(window) and vim.bo[vim.api.nvim_win_get_buf(window)].modifiable then
    return true
  end
  notice.warn('the window of the file is gone; gy copies the block.')
  return false
end

--- Inserts the block below the cursor of a window.
---@param window? integer
function M.insert(window)
  local block = here()
  if block and usable(window) then
    local row = vim.api.nvim_win_get_cursor(window)[1]
    vim.api.nvim_buf_set_lines(vim.api.nvim_win_get_buf(window), row, row, false, block.lines)
  end
end

--- Shows the block beside the file of a window, both in diff mode.
---@param window? integer
function M.compare(window)
  local block = here()
  if not (block and usable(window)) then
    return
  end
  local file = vim.api.nvim_win_get_buf(window)
  vim.cmd('tab split')
  local left = vim.api.nvim_get_current_win()
  vim.api.nvim_win_set_buf(left, file)
  local buffer = vim.api.nvim_create_buf(false, true)
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, block.lines)
  vim.bo[buffer].filetype = vim.bo[file].filetype
  vim.bo[buffer].bufhidden = 'wipe'
  local right = vim.api.nvim_open_win(buffer, true, { split = 'right', win = left })
  for _, one in ipairs({ left, right }) do
    vim.api.nvim_win_call(one, vim.cmd.diffthis)
  end
end

return M
