-- The chat: a transcript in markdown above a prompt. Answers stream in; below each stands who gave it and what it cost.

local blocks = require('beast.blocks')
local client = require('beast.client')
local config = require('beast.config')
local folders = require('beast.folders')
local notice = require('beast.notice')
local range = require('beast.range')
local sessions = require('beast.sessions')
local show = require('beast.show')

local M = {}

local HINT = 'Ctrl-S or <Enter> sends · g? helps'
local HELP = [[
In the prompt   <Enter> (normal) or Ctrl-S (insert) sends; @path in a message attaches that file
Anywhere here   Ctrl-C stops · gn new conversation · gh history · gm model · q closes
At a code block gy copies · gi inserts it into the file · gd compares it with what is selected there]]

---@class beast.Chat
---@field id string Of the session.
---@field transcript integer Buffer.
---@field prompt integer Buffer.
---@field task? beast.Task
---@field attached? { uri: string, range: lsp.Range, label: string, diagnostics: lsp.Diagnostic[] }
---@field source? integer The window of the file that the person came from.
local chat ---@type beast.Chat?

---@return beast.Chat?
function M.current()
  return chat
end

---@param buffer integer
---@return integer?
local function window_of(buffer)
  return vim.fn.win_findbuf(buffer)[1]
end

--- Draws what belongs to the prompt: its title, and what goes with the next message.
local function draw_prompt()
  local window = chat and window_of(chat.prompt)
  if chat and window then
    local attached = chat.attached and (' + %s'):format(chat.attached.label) or ''
    local text = (' Ask%s  %%=%s '):format(attached:gsub('%%', '%%%%'), chat.task and 'Ctrl-C stops' or HINT)
    vim.api.nvim_set_option_value('winbar', text, { win = window, scope = 'local' })
  end
end

---@param text string
local function write(text)
  if chat then
    show.append(chat.transcript, text, true)
  end
end

local function clear_transcript()
  if chat then
    vim.bo[chat.transcript].modifiable = true
    vim.api.nvim_buf_set_lines(chat.transcript, 0, -1, false, {})
    vim.bo[chat.transcript].modifiable = false
  end
end

--- Files that a message names as @path and that are there.
---@param message string
---@return string[]
local function files_in(message)
  local found = {}
  for path in message:gmatch('%f[%S]@(%S+)') do
    path = path:gsub('[,;:!?)]+$', '')
    if vim.fn.filereadable(path) == 1 then
      found[#found + 1] = vim.fs.normalize(vim.fn.fnamemodify(path, ':p'))
    end
  end
  return found
end

---@param problem? lsp.ResponseError
---@param result? table
---@param streamed boolean
local function conclude(problem, result, streamed)
  if not chat then
    return
  end
  chat.task = nil
  if result and not streamed then
    write(result.text)
  end
  show.trim(chat.transcript)
  if notice.cancelled(problem) then
    write('\n\n*stopped*\n\n')
  elseif problem then
    write(('\n\n> **It failed.** %s\n\n'):format((notice.words(problem):gsub('\n', '\n> '))))
  elseif result then
    write(('%s\n\n*%s*\n\n'):format(folders.listed(result.sources), result.costLine or ''))
  end
  draw_prompt()
end

---@param message string
---@return table
local function argument(message)
  local given = { message = message, session_id = assert(chat).id }
  local files = files_in(message)
  if #files > 0 then
    given.files = files
  end
  if chat.attached then
    given.uri, given.range = chat.attached.uri, chat.attached.range
    if #chat.attached.diagnostics > 0 then
      given.diagnostics = chat.attached.diagnostics
    end
    chat.attached = nil
  end
  return given
end

--- Sends a message.
---@param message string
function M.send(message)
  message = vim.trim(message)
  if message == '' then
    return
  elseif not chat then
    return M.open({ message = message })
  elseif chat.task then
    return notice.warn('it still answers; Ctrl-C stops it.')
  end
  local attached = chat.attached and (' (%s)'):format(chat.attached.label) or ''
  write(('## You%s\n\n%s\n\n## BEAST\n\n'):format(attached, message))
  local streamed = false
  local own = chat
  chat.task = client.command('chat', argument(message), {
    label = 'answers',
    on_delta = function(delta)
      if chat == own then
        streamed = true
        write(delta)
      end
    end,
    on_done = function(problem, result)
      if chat == own then
        conclude(problem, result, streamed)
      end
    end,
  })
  draw_prompt()
end

--- Sends what stands in the prompt, and empties it.
function M.submit()
  if not chat or chat.task then
    return chat and notice.warn('it still answers; Ctrl-C stops it.')
  end
  local message = table.concat(vim.api.nvim_buf_get_lines(chat.prompt, 0, -1, false), '\n')
  vim.api.nvim_buf_set_lines(chat.prompt, 0, -1, false, {})
  M.send(message)
end

--- Stops the answer that streams in.
function M.stop()
  if chat and chat.task then
    client.stop(chat.task)
  end
end

--- Begins another conversation; the one before is kept by the daemon.
function M.new()
  if not chat then
    return M.open()
  end
  M.stop()
  chat.id = sessions.new_id()
  chat.attached = nil
  clear_transcript()
  draw_prompt()
end

--- Goes on with a conversation.
---@param id string
function M.resume(id)
  sessions.get(id, function(problem, messages)
    if problem then
      return notice.fail(problem)
    end
    M.open()
    M.stop()
    local own = assert(chat)
    own.id = id
    clear_transcript()
    for _, message in ipairs(messages or {}) do
      if message.role == 'user' then
        write(('## You\n\n%s\n\n'):format(message.content))
      else
        local model = message.model and message.model ~= vim.NIL and ('\n\n*%s*'):format(message.model) or ''
        write(('## BEAST\n\n%s%s\n\n'):format(message.content, model))
      end
    end
  end)
end

--- Chooses one of the conversations that the daemon keeps.
function M.history()
  sessions.list(function(problem, found)
    if problem then
      return notice.fail(problem)
    elseif #(found or {}) == 0 then
      return notice.info('there is no conversation yet.')
    end
    local options = {
      prompt = 'BEAST: conversations',
      format_item = function(session)
        return ('%s  %s'):format((session.updated_at or ''):sub(1, 16):gsub('T', ' '), session.title)
      end,
    }
    vim.ui.select(found, options, function(choice)
      if choice then
        M.resume(choice.id)
      end
    end)
  end)
end

--- Closes the windows; the conversation stays, and opens again as it was.
function M.close()
  if not chat then
    return
  end
  vim.cmd.stopinsert()
  for _, buffer in ipairs({ chat.prompt, chat.transcript }) do
    for _, window in ipairs(vim.fn.win_findbuf(buffer)) do
      pcall(vim.api.nvim_win_close, window, true)
    end
  end
end

---@param buffer integer
local function map(buffer)
  local keys = {
    ['<C-c>'] = M.stop,
    gn = M.new,
    gh = M.history,
    gm = require('beast.models').select,
    q = M.close,
    ['g?'] = function()
      vim.notify(HELP)
    end,
    gy = blocks.yank,
    gi = function()
      blocks.insert(chat and chat.source)
    end,
    gd = function()
      blocks.compare(chat and chat.source)
    end,
  }
  for key, run in pairs(keys) do
    vim.keymap.set('n', key, function()
      run()
    end, { buffer = buffer, nowait = true, silent = true })
  end
end

---@return beast.Chat
local function make()
  local prompt = vim.api.nvim_create_buf(false, true)
  local made = { id = sessions.new_id(), transcript = show.markdown_buffer('beast://chat'), prompt = prompt }
  pcall(vim.api.nvim_buf_set_name, prompt, 'beast://prompt')
  vim.bo[prompt].filetype = 'beast-prompt'
  vim.bo[made.transcript].modifiable = false
  for _, buffer in ipairs({ made.transcript, prompt }) do
    vim.bo[buffer].bufhidden = 'hide'
    vim.bo[buffer].swapfile = false
    map(buffer)
  end
  vim.keymap.set('n', '<CR>', M.submit, { buffer = prompt, desc = 'BEAST: send' })
  vim.keymap.set('i', '<C-s>', M.submit, { buffer = prompt, desc = 'BEAST: send' })
  vim.keymap.set('i', '<C-c>', M.stop, { buffer = prompt, desc = 'BEAST: stop' })
  return made
end

---@param options beast.ChatOptions
local function split(options)
  local total = options.position == 'bottom' and vim.o.lines or vim.o.columns
  local size = math.floor(options.size < 1 and total * options.size or options.size)
  if options.position == 'tab' then
    return vim.cmd('tab split')
  end
  local places = { right = 'botright vertical', left = 'topleft vertical', bottom = 'botright' }
  vim.cmd(('%s %dsplit'):format(places[options.position] or places.right, size))
end

local function open_windows()
  local options = config.get().chat
  assert(chat).source = vim.bo.buftype == '' and vim.api.nvim_get_current_win() or chat.source
  split(options)
  local transcript = vim.api.nvim_get_current_win()
  vim.api.nvim_win_set_buf(transcript, chat.transcript)
  show.reading(transcript)
  local below = { split = 'below', win = transcript, height = options.input_lines }
  local prompt = vim.api.nvim_open_win(chat.prompt, true, below)
  show.reading(prompt)
  vim.api.nvim_set_option_value('winfixheight', true, { win = prompt, scope = 'local' })
  local last = vim.api.nvim_buf_line_count(chat.transcript)
  vim.api.nvim_win_set_cursor(transcript, { last, 0 })
end

---@param bufnr integer
---@param selected beast.Range
local function attach(bufnr, selected)
  local own = assert(chat)
  local name = vim.fn.fnamemodify(vim.api.nvim_buf_get_name(bufnr), ':t')
  local label = ('%s:%d-%d'):format(name, selected.start.line + 1, selected.finish.line + 1)
  client.with(bufnr, function(found)
    local place = range.protocol(bufnr, selected, found.offset_encoding)
    local wrong = range.diagnostics(bufnr, selected, found.offset_encoding)
    own.attached = { uri = vim.uri_from_bufnr(bufnr), range = place, label = label, diagnostics = wrong }
    draw_prompt()
  end)
end

--- Opens the chat, or goes to it.
---@param options? { message?: string, bufnr?: integer, range?: beast.Range, focus?: boolean }
function M.open(options)
  options = options or {}
  local bufnr = options.bufnr or vim.api.nvim_get_current_buf()
  if not chat or not (vim.api.nvim_buf_is_valid(chat.transcript) and vim.api.nvim_buf_is_valid(chat.prompt)) then
    chat = make()
  end
  local window = window_of(chat.prompt)
  if window then
    vim.api.nvim_set_current_win(window)
  else
    M.close()
    open_windows()
  end
  if options.range then
    attach(bufnr, options.range)
  end
  draw_prompt()
  if options.message and options.message ~= '' then
    vim.schedule(function()
      M.send(options.message)
    end)
  elseif #vim.api.nvim_list_uis() > 0 then
    vim.cmd.startinsert()
  end
end

return M
