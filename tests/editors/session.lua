-- The scripted session in Neovim, by the plugin's commands: tells what it saw at each step as one JSON object a line.
-- Run by test_neovim.py as `nvim -l session.lua stdio|socket`.

package.path = vim.fs.dirname(vim.fs.abspath(arg[0])) .. '/?.lua;' .. package.path
local stage = require('stage')
local tell, wait, await = stage.tell, stage.wait, stage.await

local mode = arg[1]
local bufnr, client ---@type integer, vim.lsp.Client

local function attach()
  stage.load(mode)
  bufnr, client = stage.open()
  tell('attach', {
    name = client.server_info.name,
    encoding = client.offset_encoding,
    capabilities = client.server_capabilities,
  })
end

---@param first integer
---@param last integer
---@return table[]
local function menu(first, last)
  local params = vim.lsp.util.make_given_range_params({ first, 0 }, { last, 0 }, bufnr, client.offset_encoding)
  params.context = {
    diagnostics = require('beast.range').diagnostics(bufnr, {
      start = { line = first - 1, byte = 0 },
      finish = { line = last - 1, byte = 0 },
    }, client.offset_encoding),
  }
  local _, found = await('code actions', function(done)
    client:request('textDocument/codeAction', params, done, bufnr)
  end)
  return found
end

---@param step string
---@param word string
local function take(step, word)
  local before = stage.text(bufnr)
  vim.lsp.buf.code_action({
    apply = true,
    filter = function(action)
      return action.title:find(word, 1, true) ~= nil
    end,
  })
  wait(step, function()
    return stage.text(bufnr) ~= before
  end)
  tell(step, { text = stage.text(bufnr) })
end

local function actions()
  local namespace = vim.api.nvim_create_namespace('lint')
  local wrong = { lnum = 6, col = 15, end_lnum = 6, end_col = 16, message = 'Undefined name c', source = 'lint' }
  wrong.severity = vim.diagnostic.severity.ERROR
  vim.diagnostic.set(namespace, bufnr, { wrong })
  local titles = vim.tbl_map(function(action)
    return action.title
  end, menu(1, 3))
  local fixes = vim.tbl_map(function(action)
    return { action.title, action.kind }
  end, menu(6, 7))
  tell('menu', { titles = titles, wrong = fixes })
  vim.api.nvim_win_set_cursor(0, { 1, 4 })
  take('docstring', 'docstring')
  wrong.lnum, wrong.end_lnum = 7, 7 -- the linter sees the longer text
  vim.diagnostic.set(namespace, bufnr, { wrong })
  vim.api.nvim_win_set_cursor(0, { 8, 6 })
  take('fix', 'Fix')
  vim.diagnostic.reset(namespace, bufnr)
end

---@param words string
---@return boolean # Whether a notice holds them.
local function told_of(words)
  return vim.iter(stage.notices):any(function(notice)
    return notice:find(words, 1, true) ~= nil
  end)
end

local function command()
  stage.notices = {}
  stage.select_lines(1, 4)
  vim.cmd("'<,'>Beast refactor")
  wait('the command', function()
    return told_of('$')
  end)
  tell('command', { text = stage.text(bufnr), notices = stage.notices })
end

local function preview()
  local answers = require('beast.preview')
  vim.api.nvim_win_set_cursor(0, { 8, 6 })
  vim.cmd('Beast! docstring')
  wait('the preview', function()
    return answers.current() and #vim.api.nvim_tabpage_list_wins(0) == 2
  end)
  local before = stage.text(bufnr)
  local sides = vim.tbl_map(function(window)
    return { text = stage.text(vim.api.nvim_win_get_buf(window)), diff = vim.wo[window].diff }
  end, vim.api.nvim_tabpage_list_wins(0))
  vim.api.nvim_feedkeys('a', 'mtx', false)
  wait('applied', function()
    return stage.text(bufnr) ~= before
  end)
  wait('closed', function()
    return #vim.api.nvim_list_tabpages() == 1
  end)
  tell('preview', { before = before, sides = sides, text = stage.text(bufnr) })
end

---@return integer
local function floating()
  return vim.iter(vim.api.nvim_list_wins()):find(function(window)
    return vim.api.nvim_win_get_config(window).relative ~= ''
  end)
end

local function stream()
  local seen = 0
  local on_delta = require('beast.client').on_delta
  require('beast.client').on_delta = function(params)
    seen = seen + 1
    on_delta(params)
  end
  local _, result = await('explain', function(done)
    require('beast').action('explain', { instruction = 'Tell me in a few words', on_done = done })
  end)
  local window = floating()
  local footer = vim.inspect(vim.api.nvim_win_get_config(window).footer)
  local shown = stage.text(vim.api.nvim_win_get_buf(window))
  tell('stream', { deltas = seen, shown = shown, text = result.text, cost = result.costLine, footer = footer })
  vim.api.nvim_feedkeys('q', 'mtx', false)
end

local function cancel()
  vim.cmd('1Beast ask Count slowly')
  local text
  wait('words stream in', function()
    local window = floating()
    text = window and stage.text(vim.api.nvim_win_get_buf(window)) or ''
    return text:find('word3', 1, true)
  end)
  local busy = require('beast').statusline()
  local buffer = vim.api.nvim_win_get_buf(floating())
  vim.cmd('Beast stop')
  local before = stage.text(buffer)
  vim.wait(300)
  local after, window = stage.text(buffer), floating()
  tell('cancel', {
    busy = busy,
    added = #after - #before,
    footer = vim.inspect(vim.api.nvim_win_get_config(window).footer),
    running = #require('beast.client').running(),
  })
  vim.api.nvim_win_close(window, true)
end

local function inline()
  vim.api.nvim_buf_set_lines(bufnr, -1, -1, false, { 'def sub(a, b):', '' })
  vim.cmd('normal! G')
  local namespace = vim.api.nvim_create_namespace('beast.inline')
  require('beast.inline').complete()
  wait('ghost text', function()
    return #vim.api.nvim_buf_get_extmarks(bufnr, namespace, 0, -1, {}) > 0
  end)
  local mark = vim.api.nvim_buf_get_extmarks(bufnr, namespace, 0, -1, { details = true })[1]
  local taken = require('beast.inline').accept()
  wait('it is inserted', function()
    return vim.api.nvim_buf_get_lines(bufnr, -2, -1, false)[1] ~= ''
  end)
  local line = vim.api.nvim_buf_get_lines(bufnr, -2, -1, false)[1]
  local native = require('beast.inline').native() and vim.lsp.inline_completion.is_enabled({ bufnr = bufnr })
  tell('inline', { ghost = mark[4].virt_text[1][1], taken = taken, line = line, native = native })
end

local function restart()
  vim.api.nvim_buf_set_lines(bufnr, 0, 0, false, { '# not saved yet' })
  local problem
  require('beast').action('ask', {
    instruction = 'Count slowly again',
    on_done = function(found)
      problem = found or false
    end,
  })
  wait('words stream in', function()
    local window = floating()
    return window and stage.text(vim.api.nvim_win_get_buf(window)):find('word3', 1, true)
  end)
  local before = client.id
  local flag = vim.fs.joinpath(stage.folder, '.restarted')
  stage.say({ ['do'] = 'restart', ['then'] = flag })
  wait('the daemon is back', function()
    return vim.uv.fs_stat(flag)
  end, 40000)
  wait('what ran is told of', function()
    return problem ~= nil
  end)
  vim.api.nvim_win_close(floating(), true)
  wait('attached again', function()
    return require('beast.client').get(bufnr) and vim.lsp.buf_is_attached(bufnr, require('beast.client').get(bufnr).id)
  end)
  local _, result = await('explain', function(done)
    require('beast').action('explain', { instruction = 'And after the restart', on_done = done })
  end)
  client = assert(require('beast.client').get(bufnr))
  tell('restart', { problem = problem, text = result and result.text, same_client = client.id == before })
  vim.api.nvim_feedkeys('q', 'mtx', false)
end

---@param message string
---@return string # What the chat shows then.
local function say_in_chat(message)
  vim.cmd('Beast chat ' .. message)
  local chat = require('beast.chat')
  wait('the chat answers', function()
    local current = chat.current()
    return current and not current.task and stage.text(current.transcript):find('\n%*[^*]+%*\n')
  end)
  return stage.text(chat.current().transcript)
end

local function chat()
  local first = say_in_chat('What is a semaphore?')
  local room = require('beast.chat')
  local ids = { room.current().id }
  room.new()
  local again = say_in_chat('What is a semaphore?')
  ids[2] = room.current().id
  local windows = #vim.api.nvim_list_wins()
  local _, sessions = await('sessions', require('beast.sessions').list)
  room.resume(ids[1])
  wait('the history is shown', function()
    local shown = stage.text(room.current().transcript)
    return shown:find('You said', 1, true) and not shown:find('$', 1, true)
  end)
  local history = stage.text(room.current().transcript)
  room.close()
  tell('chat', { first = first, again = again, ids = ids, sessions = sessions, history = history, windows = windows })
end

local function cost()
  stage.notices = {}
  vim.cmd('Beast cost')
  wait('the cost', function()
    return told_of('$')
  end)
  wait('the status', function()
    return require('beast.status').last() ~= nil
  end)
  wait('the command has ended', function()
    return #require('beast.client').running() == 0
  end)
  tell('cost', { notices = stage.notices, statusline = require('beast').statusline() })
end

local function finish()
  client:stop()
  wait('the client has ended', function()
    return client:is_stopped() and #vim.lsp.get_clients({ name = 'beast' }) == 0
  end)
  vim.wait(600) -- what a person has stopped does not come back
  local clients = #vim.lsp.get_clients({ name = 'beast', _uninitialized = true })
  tell('end', { clients = clients, running = #require('beast.client').running() })
end

stage.main(function()
  attach()
  actions()
  command()
  preview()
  stream()
  cancel()
  inline()
  restart()
  chat()
  cost()
  finish()
end)
