-- What people do with the plugin in Neovim, case by case: tells what it saw of each as one JSON object a line.
-- Run by test_neovim_use.py as `nvim -l use.lua`; PROVIDER is the address of a model, LOG the file of Neovim's own log.

package.path = vim.fs.dirname(vim.fs.abspath(arg[0])) .. '/?.lua;' .. package.path
local stage = require('stage')
local tell, wait, await = stage.tell, stage.wait, stage.await

local SECRET = 'sk-' .. ('very-secret-'):rep(3)
local bufnr ---@type integer
local cases = {} ---@type { [1]: string, [2]: fun() }[]

---@param name string
---@param run fun()
local function case(name, run)
  cases[#cases + 1] = { name, run }
end

---@param words string
---@return boolean
local function told_of(words)
  return vim.iter(stage.notices):any(function(notice)
    return notice:find(words, 1, true) ~= nil
  end)
end

---@return integer?
local function floating()
  return vim.iter(vim.api.nvim_list_wins()):find(function(window)
    return vim.api.nvim_win_get_config(window).relative ~= ''
  end)
end

---@return string
local function float_text()
  local window = floating()
  return window and stage.text(vim.api.nvim_win_get_buf(window)) or ''
end

--- Begins again with the sample as it lies on the disk, and nothing else open.
local function afresh()
  if floating() then
    vim.api.nvim_win_close(floating(), true)
  end
  require('beast.chat').close()
  require('beast.preview').close()
  vim.cmd('silent! only')
  vim.cmd.edit({ stage.path, bang = true })
  bufnr = vim.api.nvim_get_current_buf()
  stage.notices = {}
end

---@return string
local function conversation()
  local chat = require('beast.chat').current()
  return chat and stage.text(chat.transcript) or ''
end

---@param message string
---@return string
local function say(message)
  local chat = require('beast.chat')
  chat.open()
  chat.new()
  chat.send(message)
  wait('the chat answers', function()
    return not chat.current().task
  end)
  return conversation()
end

case('register', function()
  vim.lsp.log.set_level(vim.log.levels.TRACE)
  local answers = { 'custom:mine', vim.env.PROVIDER .. '/v1', 'coder', '3', '15' }
  local asked = {}
  vim.ui.input = function(options, take)
    asked[#asked + 1] = options.prompt
    take(table.remove(answers, 1))
  end
  local inputsecret = vim.fn.inputsecret
  vim.fn.inputsecret = function(prompt)
    asked[#asked + 1] = prompt
    return SECRET
  end
  vim.cmd('Beast register')
  wait('it is registered', function()
    return told_of('custom:mine is registered')
  end)
  vim.fn.inputsecret = inputsecret
  local file = assert(io.open(vim.lsp.log.get_filename()))
  local log = file:read('*a')
  file:close()
  vim.lsp.log.set_level(vim.log.levels.WARN)
  tell('register', {
    asked = asked,
    logged = log:find('very-secret', 1, true) ~= nil,
    logs_at_all = log:find('selectModel', 1, true) ~= nil or log:find('registerModel', 1, true) ~= nil or #log > 1000,
    completes = vim.fn.getcompletion('Beast model custom:', 'cmdline'),
  })
end)

case('select', function()
  vim.cmd('Beast model custom:mine')
  wait('it is chosen', function()
    return told_of('custom:mine answers')
  end)
  local first = say('Who are you?')
  local offered
  vim.ui.select = function(choices, options, take)
    offered = vim.tbl_map(options.format_item, choices)
    take(choices[1])
  end
  vim.cmd('Beast model')
  wait('the default is chosen', function()
    return told_of("the daemon's default model answers")
  end)
  tell('select', { first = first, offered = offered, second = say('And who are you now?') })
end)

case('attach', function()
  afresh()
  require('beast.chat').new()
  stage.select_lines(1, 3)
  vim.cmd("'<,'>Beast chat Explain the selection and @other.py please")
  wait('the chat answers', function()
    return conversation():find('You said', 1, true) and not require('beast.chat').current().task
  end)
  tell('attach', { conversation = conversation() })
end)

case('blocks', function()
  afresh()
  vim.api.nvim_win_set_cursor(0, { 4, 0 })
  say('Look:\n```python\nINSERTED = 1\n```')
  local chat = require('beast.chat').current()
  vim.api.nvim_set_current_win(vim.fn.win_findbuf(chat.transcript)[1])
  vim.cmd('normal! G')
  vim.api.nvim_feedkeys('gi', 'mtx', false)
  vim.api.nvim_feedkeys('gy', 'mtx', false)
  tell('blocks', { line = vim.api.nvim_buf_get_lines(bufnr, 4, 5, false)[1], copied = vim.fn.getreg('"') })
end)

case('moved', function()
  afresh()
  local _, result = await('a refactoring', function(done)
    local range = require('beast.range').lines(bufnr, 1, 3)
    require('beast').action('refactor', { range = range, instruction = 'Refactor, take your time', on_done = done })
    vim.defer_fn(function()
      vim.api.nvim_buf_set_lines(bufnr, 0, 0, false, { '# typed meanwhile' })
    end, 400)
  end)
  tell('moved', { applied = result.applied, text = stage.text(bufnr) })
end)

case('conflict', function()
  afresh()
  local _, result = await('a refactoring', function(done)
    local range = require('beast.range').lines(bufnr, 1, 3)
    require('beast').action('refactor', { range = range, instruction = 'Refactor and take your time', on_done = done })
    vim.defer_fn(function()
      vim.api.nvim_buf_set_lines(bufnr, 1, 2, false, { '    result = b + a  # typed meanwhile' })
    end, 400)
  end)
  local shown = table.concat(
    vim.tbl_map(function(window)
      return stage.text(vim.api.nvim_win_get_buf(window))
    end, vim.api.nvim_tabpage_list_wins(0)),
    '\n'
  )
  tell('conflict', { applied = result.applied, reason = result.reason, text = stage.text(bufnr), shown = shown })
end)

case('tests', function()
  afresh()
  vim.api.nvim_win_set_cursor(0, { 1, 4 })
  vim.cmd('Beast tests')
  wait('the tests', function()
    return told_of('$')
  end)
  tell('tests', { file = vim.api.nvim_buf_get_name(0), text = stage.text(0), windows = #vim.api.nvim_list_wins() })
  vim.cmd('bwipeout!')
end)

case('new file first seen', function()
  afresh()
  vim.fn.delete(vim.fs.joinpath(stage.folder, 'tests'), 'rf')
  vim.api.nvim_win_set_cursor(0, { 6, 4 })
  vim.cmd('Beast! tests')
  local preview = require('beast.preview')
  wait('the preview', function()
    return preview.current()
  end)
  local shown = stage.text(0)
  local name = vim.api.nvim_buf_get_name(0)
  local there = vim.fn.glob(vim.fs.joinpath(stage.folder, 'tests', '*'))
  preview.apply()
  wait('applied', function()
    return told_of('applied')
  end)
  tell('new file first seen', { shown = shown, name = name, there = there, open = vim.api.nvim_buf_get_name(0) })
  vim.cmd('bwipeout!')
end)

case('menu', function()
  afresh()
  vim.api.nvim_win_set_cursor(0, { 1, 4 })
  vim.ui.input = function(_, take)
    take('What is it from the menu?')
  end
  vim.lsp.buf.code_action({
    apply = true,
    filter = function(action)
      return action.title:find('Ask', 1, true) ~= nil
    end,
  })
  wait('the answer', function()
    return float_text():find('from the menu?', 1, true)
  end)
  local asked = float_text()
  vim.api.nvim_win_close(floating(), true)
  vim.lsp.codelens.enable(true, { bufnr = bufnr })
  wait('lenses', function()
    return #vim.lsp.codelens.get({ bufnr = bufnr }) > 0
  end)
  local titles = vim.tbl_map(function(found)
    local lens = found.lens or found
    return lens.command and lens.command.title
  end, vim.lsp.codelens.get({ bufnr = bufnr }))
  tell('menu', { asked = asked, lenses = titles })
end)

case('generate', function()
  afresh()
  vim.api.nvim_win_set_cursor(0, { 5, 0 })
  require('beast').action('generate', { instruction = 'Write the code of a constant' })
  wait('the code', function()
    return stage.text(bufnr):find('GENERATED', 1, true)
  end)
  local made = stage.text(bufnr)
  vim.cmd('silent undo')
  tell('generate', { text = made, undone = stage.text(bufnr) })
end)

case('failure', function()
  afresh()
  vim.cmd('Beast model custom:away')
  wait('it is chosen', function()
    return told_of('custom:away answers')
  end)
  vim.cmd('Beast explain')
  wait('it fails', function()
    return float_text():find('try', 1, true) or float_text():find('Try', 1, true)
  end)
  local shown = float_text()
  vim.api.nvim_win_close(floating(), true)
  local talked = say('Are you there?')
  afresh()
  vim.cmd('Beast refactor')
  wait('it is told', function()
    return told_of('Try:')
  end)
  local notice = stage.notices[#stage.notices]
  require('beast.models').use('')
  wait('the default again', function()
    return told_of('default model')
  end)
  tell('failure', { shown = shown, talked = talked, notice = notice })
end)

case('why', function()
  afresh()
  say('What is a mutex?')
  say('What is a mutex?')
  require('beast.chat').close()
  vim.cmd('Beast why')
  wait('the reasons', function()
    return float_text():find('Request', 1, true)
  end)
  tell('why', { shown = float_text() })
end)

case('reject', function()
  afresh()
  local before = say('What is a mutex?')
  vim.cmd('Beast reject')
  wait('it is rejected', function()
    return told_of('will not be given')
  end)
  tell('reject', { before = before, after = say('What is a mutex?') })
end)

case('clear', function()
  afresh()
  say('Forget this, please')
  local id = require('beast.chat').current().id
  vim.cmd('Beast clear')
  wait('another conversation', function()
    return require('beast.chat').current().id ~= id
  end)
  local _, sessions = await('sessions', require('beast.sessions').list)
  local kept = vim.iter(sessions):any(function(session)
    return session.id == id
  end)
  tell('clear', { kept = kept, shown = conversation() })
end)

case('stop', function()
  afresh()
  require('beast').action('explain', { instruction = 'Count slowly, in a window' })
  wait('words stream in', function()
    return float_text():find('word3', 1, true)
  end)
  vim.api.nvim_win_close(floating(), true)
  local left = #require('beast.client').running()
  local chat = require('beast.chat')
  chat.open()
  chat.new()
  chat.send('Count slowly')
  wait('words stream in', function()
    return conversation():find('word3', 1, true)
  end)
  chat.stop()
  tell('stop', { shown = conversation(), running = #require('beast.client').running(), left = left })
end)

case('dashboard', function()
  local opened
  vim.ui.open = function(url)
    opened = url
    return {
      wait = function()
        return { code = 0 }
      end,
    }
  end
  vim.cmd('Beast dashboard')
  wait('a browser', function()
    return opened
  end)
  tell('dashboard', { opened = opened })
end)

case('health', function()
  afresh()
  vim.cmd('checkhealth beast')
  tell('health', { report = stage.text(0) })
  vim.cmd('bwipeout!')
end)

case('projects', function()
  afresh()
  vim.cmd.edit(vim.fs.joinpath(vim.env.OTHER, 'else.py'))
  local other = vim.api.nvim_get_current_buf()
  wait('attached', function()
    return #vim.lsp.get_clients({ bufnr = other, name = 'beast' }) > 0
  end)
  local clients = vim.lsp.get_clients({ name = 'beast' })
  local _, result = await('an explanation', function(done)
    require('beast').action('explain', { on_done = done })
  end)
  tell('projects', {
    clients = #clients,
    folders = vim.tbl_map(function(folder)
      return folder.name
    end, clients[1].workspace_folders),
    summary = result and result.summary,
  })
end)

stage.main(function()
  stage.load('stdio', { settings = { codeLens = { enabled = true } }, code_lens = true })
  bufnr = stage.open()
  for _, one in ipairs(cases) do
    one[2]()
  end
  tell('end', { running = #require('beast.client').running() })
end)
