-- Shows edits before they are made: the old and the new text side by side in a tab, to be applied or thrown away.

local client = require('beast.client')
local notice = require('beast.notice')
local patch = require('beast.patch')

local M = {}

---@class beast.Edit
---@field uri string
---@field diff string
---@field kind 'modify'|'create'|'delete'|'rename'

---@class beast.Preview
---@field edits beast.Edit[]
---@field request_id? string
---@field title string
---@field at integer Which edit is shown.
---@field tab? integer

local shown ---@type beast.Preview?

---@param uri string
---@return string[]
local function lines_of(uri)
  local path = vim.uri_to_fname(uri)
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    if vim.api.nvim_buf_is_loaded(buffer) and vim.api.nvim_buf_get_name(buffer) == path then
      return vim.api.nvim_buf_get_lines(buffer, 0, -1, false)
    end
  end
  return vim.fn.filereadable(path) == 1 and vim.fn.readfile(path) or {}
end

---@param name string
---@param lines string[]
---@param filetype string
---@return integer
local function scratch(name, lines, filetype)
  local buffer = vim.api.nvim_create_buf(false, true)
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, lines)
  vim.bo[buffer].bufhidden = 'wipe'
  vim.bo[buffer].filetype = filetype
  vim.bo[buffer].modifiable = false
  pcall(vim.api.nvim_buf_set_name, buffer, 'beast://' .. name)
  return buffer
end

---@return beast.Preview?
function M.current()
  return shown
end

--- Closes the preview; nothing is applied.
function M.close()
  local preview = shown
  shown = nil
  if preview and preview.tab and vim.api.nvim_tabpage_is_valid(preview.tab) then
    if #vim.api.nvim_list_tabpages() > 1 then
      vim.cmd.tabclose({ args = { vim.api.nvim_tabpage_get_number(preview.tab) } })
    end
  end
end

--- Opens the files that edits have made, so that they are seen and saved.
---@param edits beast.Edit[]
function M.open_created(edits)
  for _, edit in ipairs(edits) do
    if edit.kind == 'create' then
      vim.cmd.split(vim.fn.fnameescape(vim.uri_to_fname(edit.uri)))
    end
  end
end

--- Applies what the preview shows, or the edits that a request left.
---@param request_id? string nil: the last request that left edits.
function M.apply(request_id)
  request_id = request_id or (shown and shown.request_id)
  local edits = shown and shown.request_id == request_id and shown.edits or {}
  client.command('apply', request_id and { request_id = request_id } or {}, {
    on_done = function(problem, result)
      if problem then
        return notice.fail(problem)
      elseif not result.applied then
        return notice.warn('not applied: ' .. (result.reason or 'the text has changed since.'))
      end
      M.close()
      M.open_created(edits)
      notice.info('applied.')
    end,
  })
end

--- Throws the edits away, and the stored answer with them: it is not served again.
function M.reject()
  local request_id = shown and shown.request_id
  M.close()
  require('beast.answers').reject(request_id)
end

---@param step integer
local function turn(step)
  if shown and #shown.edits > 1 then
    shown.at = (shown.at - 1 + step) % #shown.edits + 1
    M.draw()
  end
end

---@param buffer integer
local function map(buffer)
  local keys = {
    a = M.apply,
    r = M.reject,
    q = M.close,
    [']f'] = function()
      turn(1)
    end,
    ['[f'] = function()
      turn(-1)
    end,
  }
  for key, run in pairs(keys) do
    vim.keymap.set('n', key, function()
      run()
    end, { buffer = buffer, nowait = true, silent = true })
  end
end

---@param window integer
---@param text string
local function head(window, text)
  vim.api.nvim_set_option_value('winbar', ' ' .. text:gsub('%%', '%%%%'), { win = window, scope = 'local' })
end

--- Draws the edit that is looked at into the preview's tab.
function M.draw()
  local preview = assert(shown)
  local edit = preview.edits[preview.at]
  local path = vim.fn.fnamemodify(vim.uri_to_fname(edit.uri), ':~:.')
  local old = edit.kind == 'create' and {} or lines_of(edit.uri)
  local new = edit.kind == 'delete' and {} or patch.apply(old, edit.diff)
  local count = #preview.edits > 1 and (' %d/%d'):format(preview.at, #preview.edits) or ''
  local keys = 'a apply · r reject · q close' .. (#preview.edits > 1 and ' · ]f next file' or '')
  vim.cmd.only({ mods = { silent = true } })
  local left = vim.api.nvim_get_current_win()
  if not new then -- the text has changed since: what was proposed can still be read
    vim.api.nvim_win_set_buf(left, scratch('diff/' .. path, vim.split(edit.diff, '\n', { plain = true }), 'diff'))
    map(vim.api.nvim_win_get_buf(left))
    return head(left, ('%s%s %s  %s'):format(preview.title, count, path, keys))
  end
  local filetype = vim.filetype.match({ filename = vim.uri_to_fname(edit.uri), contents = new }) or ''
  vim.api.nvim_win_set_buf(left, scratch('before/' .. path, old, filetype))
  local right = vim.api.nvim_open_win(scratch('after/' .. path, new, filetype), true, { split = 'right', win = left })
  for window, text in pairs({ [left] = ('%s%s %s'):format(preview.title, count, path), [right] = keys }) do
    map(vim.api.nvim_win_get_buf(window))
    head(window, text)
    vim.api.nvim_win_call(window, vim.cmd.diffthis)
  end
  vim.cmd('silent! normal! gg]c') -- to the first change
end

--- Opens a preview.
---@param edits beast.Edit[]
---@param title string
---@param request_id? string
function M.open(edits, title, request_id)
  if #edits == 0 then
    return notice.info('There is no edit to show.')
  end
  M.close()
  vim.cmd('tab split')
  vim.cmd.enew({ mods = { silent = true } })
  vim.bo.bufhidden = 'wipe'
  shown = {
    edits = edits,
    title = title,
    request_id = request_id,
    at = 1,
    tab = vim.api.nvim_get_current_tabpage(),
  }
  M.draw()
end

--- Shows the edits that the last request left, or another one.
---@param request_id? string
function M.show(request_id)
  client.command('preview', { request_id = request_id, show = false }, {
    quiet = true,
    on_done = function(problem, result)
      if problem then
        return notice.fail(problem)
      end
      require('beast.show').open('BEAST: edits', { filetype = 'diff' }):set(result.diff)
    end,
  })
end

return M
