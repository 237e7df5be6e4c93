-- Where long answers are shown: a floating window of markdown that grows while text streams in.

local config = require('beast.config')

local M = {}

---@class beast.Float
---@field buffer integer
---@field window integer
---@field on_stop? fun()
local Float = {}
Float.__index = Float

---@return vim.api.keyset.win_config
local function place()
  local options = config.get().float
  local width = math.max(30, math.floor(vim.o.columns * options.width))
  local height = math.max(5, math.floor(vim.o.lines * options.height))
  return {
    relative = 'editor',
    width = math.min(width, vim.o.columns - 2),
    height = math.min(height, vim.o.lines - 4),
    row = math.max(0, math.floor((vim.o.lines - height) / 2) - 1),
    col = math.max(0, math.floor((vim.o.columns - width) / 2)),
    border = options.border,
    style = 'minimal',
  }
end

--- Makes a buffer of markdown that holds no file.
---@param name? string
---@param filetype? string Another one.
---@return integer
function M.markdown_buffer(name, filetype)
  local buffer = vim.api.nvim_create_buf(false, true)
  if name then
    pcall(vim.api.nvim_buf_set_name, buffer, name)
  end
  vim.api.nvim_buf_call(buffer, function()
    -- Neovim's own file for markdown fails where its parser is not installed.
    vim.cmd('silent! setlocal filetype=' .. (filetype or 'markdown'))
  end)
  return buffer
end

--- Makes a window read well: lines wrap at words, and marks of markdown are hidden.
---@param window integer
function M.reading(window)
  local options = { wrap = true, linebreak = true, conceallevel = 2, spell = false, number = false, statuscolumn = ' ' }
  for name, value in pairs(options) do
    vim.api.nvim_set_option_value(name, value, { win = window, scope = 'local' })
  end
end

--- Appends text at the end of a buffer.
---@param buffer integer
---@param text string
---@param follow? boolean Windows whose cursor stands at the end go with it.
function M.append(buffer, text, follow)
  if not vim.api.nvim_buf_is_valid(buffer) then
    return
  end
  local last = vim.api.nvim_buf_line_count(buffer)
  local following = vim.tbl_filter(function(window)
    return follow and vim.api.nvim_win_get_cursor(window)[1] >= last
  end, vim.fn.win_findbuf(buffer))
  local column = #vim.api.nvim_buf_get_lines(buffer, last - 1, last, false)[1]
  vim.bo[buffer].modifiable = true
  vim.api.nvim_buf_set_text(buffer, last - 1, column, last - 1, column, vim.split(text, '\n', { plain = true }))
  vim.bo[buffer].modifiable = false
  for _, window in ipairs(following) do
    vim.api.nvim_win_set_cursor(window, { vim.api.nvim_buf_line_count(buffer), 0 })
  end
end

--- Takes blank lines from the end of a buffer.
---@param buffer integer
function M.trim(buffer)
  if not vim.api.nvim_buf_is_valid(buffer) then
    return
  end
  local last = vim.api.nvim_buf_line_count(buffer)
  local kept = last
  while kept > 1 and vim.api.nvim_buf_get_lines(buffer, kept - 1, kept, false)[1]:match('^%s*$') do
    kept = kept - 1
  end
  vim.bo[buffer].modifiable = true
  vim.api.nvim_buf_set_lines(buffer, kept, last, false, {})
  vim.bo[buffer].modifiable = false
end

---@param keys table<string, fun()>
---@param buffer integer
local function map(keys, buffer)
  for key, run in pairs(keys) do
    vim.keymap.set('n', key, run, { buffer = buffer, nowait = true, silent = true })
  end
end

--- Opens a window for an answer.
---@param title string
---@param options? { on_stop?: fun(), filetype?: string } `on_stop`: the person stops what streams in, or closes it.
---@return beast.Float
function M.open(title, options)
  options = options or {}
  local self = setmetatable({ on_stop = options.on_stop }, Float)
  self.buffer = M.markdown_buffer(nil, options.filetype)
  vim.bo[self.buffer].bufhidden = 'wipe'
  vim.bo[self.buffer].modifiable = false
  local layout = vim.tbl_extend('force', place(), { title = (' %s '):format(title), title_pos = 'center' })
  self.window = vim.api.nvim_open_win(self.buffer, true, layout)
  M.reading(self.window)
  map({
    q = function()
      self:close()
    end,
    ['<Esc>'] = function()
      self:close()
    end,
    ['<C-c>'] = function()
      self:stop()
    end,
  }, self.buffer)
  vim.api.nvim_create_autocmd('BufWipeout', {
    buffer = self.buffer,
    callback = function()
      self:stop() -- closed in another way than by `q`
    end,
  })
  self:footer(options.on_stop and 'Ctrl-C stops · q closes' or 'q closes')
  return self
end

function Float:stop()
  local stop = self.on_stop
  self.on_stop = nil
  if stop then
    stop()
  end
end

function Float:close()
  self:stop()
  if vim.api.nvim_win_is_valid(self.window) then
    vim.api.nvim_win_close(self.window, true)
  end
end

---@param text string
function Float:append(text)
  M.append(self.buffer, text)
end

--- Replaces all that is shown.
---@param text string
function Float:set(text)
  if not vim.api.nvim_buf_is_valid(self.buffer) then
    return
  end
  vim.bo[self.buffer].modifiable = true
  vim.api.nvim_buf_set_lines(self.buffer, 0, -1, false, vim.split(text, '\n', { plain = true }))
  vim.bo[self.buffer].modifiable = false
end

--- Everything that is shown.
---@return string
function Float:text()
  if not vim.api.nvim_buf_is_valid(self.buffer) then
    return ''
  end
  return table.concat(vim.api.nvim_buf_get_lines(self.buffer, 0, -1, false), '\n')
end

---@param text string
function Float:footer(text)
  if vim.api.nvim_win_is_valid(self.window) then
    vim.api.nvim_win_set_config(self.window, { footer = (' %s '):format(text), footer_pos = 'right' })
  end
end

--- A text of the server's own, such as a long answer, goes to a window like any answer; files open as files.
---@param problem? lsp.ResponseError
---@param params lsp.ShowDocumentParams
---@param context lsp.HandlerContext
---@return table
function M.on_show_document(problem, params, context)
  local path = not params.external and vim.startswith(params.uri, 'file:') and vim.uri_to_fname(params.uri)
  local name = path and vim.fs.basename(path) or ''
  if not path or vim.fs.basename(vim.fs.dirname(path)) ~= 'shown' then -- the server's folder for what it shows
    return vim.lsp.handlers['window/showDocument'](problem, params, context)
  end
  local file = io.open(path, 'rb')
  if not file then
    return { success = false }
  end
  local text = file:read('*a')
  file:close()
  local is_diff = name:match('%.diff$') ~= nil
  local shown = M.open(is_diff and 'BEAST: edits' or 'BEAST', { filetype = is_diff and 'diff' or nil })
  shown:set((text:gsub('\r\n', '\n'):gsub('\n$', '')))
  return { success = true }
end

return M
