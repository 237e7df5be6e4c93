-- Runs an action on the selection or at the cursor: progress beside the text, streaming answers, edits or their preview.

local client = require('beast.client')
local config = require('beast.config')
local notice = require('beast.notice')
local range = require('beast.range')
local status = require('beast.status')

local M = {}

M.KINDS = { 'explain', 'fix', 'refactor', 'docstring', 'tests', 'generate', 'ask' }
local IN_WORDS = { explain = true, ask = true } -- these answer in words and edit nothing
local NEEDS_WORDS = { ask = 'Ask about it: ', generate = 'Generate: ' }
local FRAME_MS = 120

local namespace = vim.api.nvim_create_namespace('beast.progress')
local last ---@type table? The last result that holds edits.

---@class beast.ActionOptions
---@field bufnr? integer
---@field range? beast.Range
---@field place? lsp.Range The same as the server counts it; it wins.
---@field diagnostics? lsp.Diagnostic[]
---@field instruction? string
---@field preview? boolean Show the edits first.
---@field model? string
---@field cache? 'default'|'off'|'only'|'refresh'
---@field on_done? fun(problem?: lsp.ResponseError, result?: table)

--- The last result that left edits.
---@return table?
function M.last()
  return last
end

--- Shows beside a line that something works on it, until it is called off.
---@param bufnr integer
---@param line integer Zero-based.
---@param task fun(): beast.Task?
---@return fun(words: string?) # Takes it away.
local function beside(bufnr, line, task)
  if not config.get().progress then
    return function() end
  end
  local id ---@type integer?
  local timer = assert(vim.uv.new_timer())
  local function draw()
    local running = task()
    if not vim.api.nvim_buf_is_valid(bufnr) or timer:is_closing() or not running then
      return
    end
    local place = id and vim.api.nvim_buf_get_extmark_by_id(bufnr, namespace, id, {}) or {}
    local seconds = (vim.uv.now() - running.began_ms) / 1000
    local text = ('  %s BEAST %s %.0f s'):format(status.frame(), running.label, seconds)
    local row = math.min(place[1] or line, vim.api.nvim_buf_line_count(bufnr) - 1)
    id = vim.api.nvim_buf_set_extmark(bufnr, namespace, row, 0, { id = id, virt_text = { { text, 'Comment' } } })
  end
  timer:start(0, FRAME_MS, vim.schedule_wrap(draw))
  return function()
    timer:close()
    if id and vim.api.nvim_buf_is_valid(bufnr) then
      vim.api.nvim_buf_del_extmark(bufnr, namespace, id)
    end
  end
end

---@param result table
---@return string
local function summary(result)
  local words = type(result.summary) == 'string' and result.summary ~= '' and { result.summary } or {}
  return table.concat(vim.list_extend(words, { result.costLine }), ' — ')
end

---@param kind string
---@param result table
local function show_edits(kind, result)
  require('beast.preview').open(result.edits, 'BEAST ' .. kind, result.request_id)
end

--- Tells what came of an action that edits.
---@param kind string
---@param wanted_preview boolean
---@param result table
local function conclude(kind, wanted_preview, result)
  if #(result.edits or {}) == 0 then
    local shown = require('beast.show').open('BEAST ' .. kind)
    shown:set(result.text or '')
    shown:footer(result.costLine or '')
    return
  end
  last = result
  if result.applied then
    require('beast.preview').open_created(result.edits)
  else
    show_edits(kind, result)
  end
  if result.reason and not result.applied and not wanted_preview then
    notice.warn(('not applied: %s'):format(result.reason))
  end
  notice.info(summary(result))
end

---@param bufnr integer
---@param options beast.ActionOptions
---@param encoding 'utf-8'|'utf-16'|'utf-32'
---@param kind string
---@return table
local function argument(bufnr, options, encoding, kind)
  local given = {
    uri = vim.uri_from_bufnr(bufnr),
    range = options.place or range.protocol(bufnr, options.range, encoding),
    instruction = options.instruction,
    model = options.model,
    cache = options.cache,
    show = false,
  }
  if kind == 'fix' then
    given.diagnostics = options.diagnostics or range.diagnostics(bufnr, options.range, encoding)
  end
  return given
end

---@param kind string
---@param bufnr integer
---@param given table
---@param options beast.ActionOptions
local function answer_in_words(kind, bufnr, given, options)
  local task, shown
  shown = require('beast.show').open('BEAST ' .. kind, {
    on_stop = function()
      client.stop(task)
    end,
  })
  task = client.command(kind, given, {
    bufnr = bufnr,
    on_delta = function(delta)
      shown:append(delta)
    end,
    on_done = function(problem, result)
      shown.on_stop = nil
      if problem then
        local above = shown:text() == '' and '' or '\n\n'
        shown:append(notice.cancelled(problem) and '' or above .. notice.words(problem))
        shown:footer(notice.cancelled(problem) and 'stopped' or 'failed')
      else
        if shown:text() ~= result.text then
          shown:set(result.text)
        end
        shown:footer(result.costLine or '')
      end
      if options.on_done then
        options.on_done(problem, result)
      end
    end,
  })
  return task
end

---@param kind string
---@param bufnr integer
---@param given table
---@param options beast.ActionOptions
local function answer_in_edits(kind, bufnr, given, options)
  local preview = options.preview
  if preview == nil then
    preview = config.get().preview
  end
  given.apply = not preview
  local task ---@type beast.Task?
  local call_off = beside(bufnr, options.range.start.line, function()
    return task
  end)
  task = client.command(kind, given, {
    bufnr = bufnr,
    on_done = function(problem, result)
      call_off()
      if problem and not notice.cancelled(problem) then
        notice.fail(problem)
      elseif result then
        conclude(kind, preview, result)
      end
      if options.on_done then
        options.on_done(problem, result)
      end
    end,
  })
  return task
end

--- Runs an action.
---@param kind string One of `KINDS`.
---@param options? beast.ActionOptions
function M.run(kind, options)
  options = vim.tbl_extend('force', {}, options or {})
  local bufnr = options.bufnr or vim.api.nvim_get_current_buf()
  if vim.bo[bufnr].buftype ~= '' then
    return notice.warn('this is no file; :Beast chat takes questions without one.')
  end
  if options.place then
    local line = options.place.start.line
    options.range = { start = { line = line, byte = 0 }, finish = { line = line, byte = 0 } }
  end
  options.range = options.range or range.cursor()
  if NEEDS_WORDS[kind] and (options.instruction or '') == '' then
    return vim.ui.input({ prompt = NEEDS_WORDS[kind] }, function(words)
      if words and words ~= '' then
        M.run(kind, vim.tbl_extend('force', options, { instruction = words, bufnr = bufnr }))
      end
    end)
  end
  client.with(bufnr, function(found)
    local given = argument(bufnr, options, found.offset_encoding, kind)
    return (IN_WORDS[kind] and answer_in_words or answer_in_edits)(kind, bufnr, given, options)
  end)
end

--- Runs what a code action or a code lens names, in the plugin's own way: with progress, streaming, and asking for words.
---@param command lsp.Command
function M.of_menu(command)
  local given = (command.arguments or {})[1] or {}
  local bufnr = given.uri and vim.uri_to_bufnr(given.uri) or vim.api.nvim_get_current_buf()
  M.run((command.command:gsub('^beast%.', '')), {
    bufnr = bufnr,
    place = given.range,
    diagnostics = given.diagnostics,
    instruction = given.instruction,
  })
end

--- Shows the edits of the last action again, or those of another request.
---@param request_id? string
function M.preview(request_id)
  if last and (request_id == nil or request_id == last.request_id) then
    return show_edits('edits', last)
  end
  require('beast.preview').show(request_id)
end

return M
