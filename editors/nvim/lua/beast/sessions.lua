-- The history of chats: which there are and what was said in them, as the daemon keeps them on disk.

local config = require('beast.config')

local M = {}

--- A name for a conversation that begins now.
---@return string
function M.new_id()
  local chance = vim.uv.random(3):gsub('.', function(byte)
    return ('%02x'):format(byte:byte())
  end)
  return ('nvim-%s-%s'):format(os.date('%Y%m%d-%H%M%S'), chance)
end

--- Asks the daemon by the command line: sessions belong to no editor, so the server has no word for them.
---@param method string
---@param params table
---@param then_do fun(problem?: string, result?: table)
local function rpc(method, params, then_do)
  local words = vim.list_slice(config.get().cmd, 1, #config.get().cmd - 1) -- without `lsp`
  vim.list_extend(words, { 'rpc', method, next(params) and vim.json.encode(params) or '{}' })
  local ok, problem = pcall(vim.system, words, { text = true, timeout = 10000 }, function(done)
    vim.schedule(function()
      local decoded, result = pcall(vim.json.decode, done.stdout or '')
      if done.code ~= 0 or not decoded then
        return then_do(vim.trim(done.stderr ~= '' and done.stderr or 'the daemon did not answer'))
      end
      then_do(nil, result)
    end)
  end)
  if not ok then
    then_do(tostring(problem))
  end
end

---@class beast.Session
---@field id string
---@field title string
---@field updated_at string
---@field messages integer

--- All conversations, the newest first.
---@param then_do fun(problem?: string, sessions?: beast.Session[])
function M.list(then_do)
  rpc('sessions.list', {}, function(problem, result)
    then_do(problem, result and result.sessions)
  end)
end

--- What was said in one: `{ role, content, model }`, oldest first.
---@param id string
---@param then_do fun(problem?: string, messages?: table[])
function M.get(id, then_do)
  rpc('sessions.get', { id = id }, function(problem, result)
    then_do(problem, result and result.messages)
  end)
end

return M
