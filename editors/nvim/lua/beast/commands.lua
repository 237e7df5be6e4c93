-- The command :Beast: its words, what each does, and their completion.

local M = {}

---@class beast.Invocation
---@field words string What follows the word.
---@field bang boolean
---@field range beast.Range
---@field ranged boolean The person gave a range.
---@field bufnr integer

---@class beast.Command
---@field run fun(given: beast.Invocation)
---@field complete? fun(): string[]

---@param kind string
---@return beast.Command
local function action(kind)
  return {
    run = function(given)
      require('beast.actions').run(kind, {
        bufnr = given.bufnr,
        range = given.range,
        instruction = given.words ~= '' and given.words or nil,
        preview = given.bang or nil,
      })
    end,
  }
end

---@param given beast.Invocation
---@return string?
local function request_id(given)
  return given.words ~= '' and given.words or nil
end

---@param given beast.Invocation
local function clear(given)
  local chat = require('beast.chat')
  local current = chat.current()
  local id = request_id(given) or (current and current.id)
  require('beast.client').command('clear', id and { session_id = id } or {}, {
    quiet = true,
    on_done = function(problem)
      local unknown = problem and vim.tbl_get(problem, 'data', 'kind') == 'not_found' -- nothing was said in it yet
      if problem and not unknown then
        return require('beast.notice').fail(problem)
      end
      if current and id == current.id then
        chat.new()
      end
    end,
  })
end

---@type table<string, beast.Command>
M.commands = {
  chat = {
    run = function(given)
      local selected = given.ranged and given.range or nil
      require('beast.chat').open({ message = given.words, bufnr = given.bufnr, range = selected })
    end,
  },
  history = {
    run = function()
      require('beast.chat').history()
    end,
  },
  model = {
    run = function(given)
      require('beast.models').select(given.words)
    end,
    complete = function()
      return require('beast.models').known()
    end,
  },
  register = {
    run = function()
      require('beast.models').register()
    end,
  },
  cost = {
    run = function()
      require('beast.answers').cost()
    end,
  },
  dashboard = {
    run = function()
      require('beast.answers').dashboard()
    end,
  },
  why = {
    run = function(given)
      require('beast.answers').why(request_id(given))
    end,
  },
  reject = {
    run = function(given)
      require('beast.answers').reject(request_id(given))
    end,
  },
  clear = { run = clear },
  open = {
    run = function(given)
      require('beast.folders').open(given.bufnr)
    end,
  },
  close = {
    run = function(given)
      require('beast.folders').close(given.bufnr)
    end,
  },
  context = {
    run = function(given)
      require('beast.folders').context(given.words, given.bufnr)
    end,
  },
  preview = {
    run = function(given)
      require('beast.actions').preview(request_id(given))
    end,
  },
  feature = {
    run = function(given)
      require('beast.feature').run(given.words, given.bufnr)
    end,
  },
  apply = {
    run = function(given)
      require('beast.preview').apply(request_id(given))
    end,
  },
  complete = {
    run = function()
      require('beast.inline').complete()
    end,
  },
  stop = {
    run = function()
      if require('beast.client').stop_all() == 0 then
        require('beast.notice').info('nothing runs.')
      end
    end,
  },
  status = {
    run = function()
      require('beast.status').show()
    end,
  },
}

for _, kind in ipairs({ 'explain', 'fix', 'refactor', 'docstring', 'tests', 'generate', 'ask' }) do
  M.commands[kind] = action(kind)
end

--- Runs `:Beast WORD ...`.
---@param given table As |nvim_create_user_command()| gives it.
function M.run(given)
  local word, words = given.args:match('^(%S+)%s*(.*)$')
  local command = word and M.commands[word]
  if not command then
    local known = table.concat(M.complete('', 'Beast '), ', ')
    return require('beast.notice').warn(('there is no :Beast %s. There are: %s'):format(word or '', known))
  end
  local bufnr = vim.api.nvim_get_current_buf()
  command.run({
    words = words,
    bang = given.bang,
    bufnr = bufnr,
    ranged = given.range > 0,
    range = require('beast.range').of_command(bufnr, given.range, given.line1, given.line2),
  })
end

--- Completes `:Beast`.
---@param lead string
---@param line string
---@return string[]
function M.complete(lead, line)
  local word, rest = line:match('Beast!?%s+(%S+)%s+(.*)$')
  local candidates ---@type string[]
  if word then
    local command = M.commands[word]
    candidates = rest == lead and command and command.complete and command.complete() or {}
  else
    candidates = vim.tbl_keys(M.commands)
    table.sort(candidates)
  end
  return vim.tbl_filter(function(candidate)
    return vim.startswith(candidate, lead)
  end, candidates)
end

return M
