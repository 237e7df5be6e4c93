-- Ghost text: Neovim 0.12 shows it while typing; asked for by hand it is shown here, on 0.11 too.

local client = require('beast.client')
local config = require('beast.config')
local notice = require('beast.notice')

local M = {}

local INVOKED = 1
local METHOD = 'textDocument/inlineCompletion'
local namespace = vim.api.nvim_create_namespace('beast.inline')

---@class beast.Ghost
---@field bufnr integer
---@field row integer
---@field column integer In bytes.
---@field text string

local ghost ---@type beast.Ghost?

--- Whether Neovim itself can show ghost text.
---@return boolean
function M.native()
  return vim.lsp.inline_completion ~= nil
end

--- Takes away what was asked for by hand.
---@return boolean # Whether there was any.
function M.dismiss()
  local found = ghost
  ghost = nil
  if found and vim.api.nvim_buf_is_valid(found.bufnr) then
    vim.api.nvim_buf_clear_namespace(found.bufnr, namespace, 0, -1)
  end
  return found ~= nil
end

--- Whether Neovim shows ghost text of its own.
---@param bufnr integer
---@return boolean
local function native_shown(bufnr)
  local own = vim.api.nvim_get_namespaces()['nvim.lsp.inline_completion']
  return own ~= nil and #vim.api.nvim_buf_get_extmarks(bufnr, own, 0, -1, { limit = 1 }) > 0
end

---@param shown beast.Ghost
local function draw(shown)
  local lines = vim.split(shown.text, '\n', { plain = true })
  local below = vim.tbl_map(function(line)
    return { { line, 'Comment' } }
  end, vim.list_slice(lines, 2))
  vim.api.nvim_buf_set_extmark(shown.bufnr, namespace, shown.row, shown.column, {
    virt_text = { { lines[1], 'Comment' } },
    virt_text_pos = 'inline',
    virt_lines = #below > 0 and below or nil,
  })
end

--- What is left to insert at the cursor: the server may repeat what stands before it.
---@param item lsp.InlineCompletionItem
---@param bufnr integer
---@param row integer
---@param column integer
---@param encoding string
---@return string
local function remainder(item, bufnr, row, column, encoding)
  local text = type(item.insertText) == 'table' and item.insertText.value or item.insertText --[[@as string]]
  local start = item.range and item.range.start
  if not start or start.line ~= row then
    return text
  end
  local line = vim.api.nvim_buf_get_lines(bufnr, row, row + 1, false)[1] or ''
  local from = vim.str_byteindex(line, encoding, start.character, false)
  local before = line:sub(from + 1, column)
  return vim.startswith(text, before) and text:sub(#before + 1) or text
end

---@param found vim.lsp.Client
---@param bufnr integer
---@param result any
local function show(found, bufnr, result)
  local item = result and (result.items or result)[1]
  if not item then
    return notice.info('nothing to complete here.')
  end
  if native_shown(bufnr) then
    return
  end
  local at = vim.api.nvim_win_get_cursor(0)
  local row, column = at[1] - 1, at[2]
  ghost = {
    bufnr = bufnr,
    row = row,
    column = column,
    text = remainder(item, bufnr, row, column, found.offset_encoding),
  }
  draw(ghost)
  vim.api.nvim_create_autocmd({ 'CursorMovedI', 'InsertLeave', 'TextChangedI', 'BufLeave' }, {
    buffer = bufnr,
    once = true,
    callback = function()
      M.dismiss()
    end,
  })
end

--- Asks for a completion at the cursor, whatever model it needs.
function M.complete()
  local bufnr = vim.api.nvim_get_current_buf()
  M.dismiss()
  client.with(bufnr, function(found)
    local position = vim.lsp.util.make_position_params(0, found.offset_encoding)
    local tick = vim.api.nvim_buf_get_changedtick(bufnr)
    local params = vim.tbl_extend('force', position, { context = { triggerKind = INVOKED } })
    found:request(METHOD, params, function(problem, result)
      if problem then
        return not notice.cancelled(problem) and notice.fail(problem)
      end
      if tick == vim.api.nvim_buf_get_changedtick(bufnr) and vim.api.nvim_get_current_buf() == bufnr then
        show(found, bufnr, result)
      end
    end, bufnr)
  end)
end

--- Inserts the ghost text that is shown.
---@return boolean # Whether there was any.
function M.accept()
  local shown = ghost
  if shown and M.dismiss() then
    vim.schedule(function()
      local lines = vim.split(shown.text, '\n', { plain = true })
      vim.api.nvim_buf_set_text(shown.bufnr, shown.row, shown.column, shown.row, shown.column, lines)
      local column = (#lines == 1 and shown.column or 0) + #lines[#lines]
      vim.api.nvim_win_set_cursor(0, { shown.row + #lines, column })
    end)
    return true
  end
  return M.native() and vim.lsp.inline_completion.get() or false
end

--- For a mapping with `expr`: takes the ghost text, or is the key itself.
---@param key string
---@return string
function M.accept_or(key)
  return M.accept() and '' or key
end

--- Another of the completions that are shown.
---@param step integer
function M.turn(step)
  if M.native() then
    vim.lsp.inline_completion.select({ count = step })
  end
end

---@param bufnr integer
---@param key string
local function map(bufnr, key)
  if vim.fn.maparg(key, 'i') == '' then
    vim.keymap.set('i', key, function()
      return M.accept_or(key)
    end, { buffer = bufnr, expr = true, desc = 'BEAST: take the ghost text' })
  end
end

--- Switches ghost text on in a buffer that the server is attached to.
---@param found vim.lsp.Client
---@param bufnr integer
function M.on_attach(found, bufnr)
  local options = config.get()
  if options.code_lens and vim.lsp.codelens.enable then
    vim.lsp.codelens.enable(true, { bufnr = bufnr })
  end
  if not (options.inline.enabled and found:supports_method(METHOD)) then
    return
  end
  if M.native() then
    vim.lsp.inline_completion.enable(true, { bufnr = bufnr })
  end
  if options.inline.accept then
    map(bufnr, options.inline.accept)
  end
end

return M
