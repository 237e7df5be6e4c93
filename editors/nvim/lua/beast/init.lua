-- The plugin's door for users: setup(), the actions as functions, the statusline component.

local M = {}

--- Takes options. It is not needed: the plugin works without, and reads vim.g.beast too.
---@param options? beast.Options|table
function M.setup(options)
  local config = require('beast.config')
  config.set(options)
  for _, problem in ipairs(config.problems()) do
    require('beast.notice').warn(problem)
  end
  vim.lsp.config('beast', {}) -- what was read of it before is out of date
  M.enable()
end

--- Attaches the server to files, as the options say.
function M.enable()
  local options = require('beast.config').get()
  local there = options.socket or vim.fn.executable(options.cmd[1]) == 1
  vim.lsp.enable('beast', options.enabled and there and true or false)
end

--- One line for the statusline: what runs, else health, model and today's cost.
---@return string
function M.statusline()
  return require('beast.status').statusline()
end

--- Runs an action on a buffer: `require('beast').action('refactor', { instruction = 'use pathlib' })`.
---@param kind string
---@param options? beast.ActionOptions
function M.action(kind, options)
  require('beast.actions').run(kind, options)
end

--- Opens the chat, with a message or without.
---@param message? string
function M.chat(message)
  require('beast.chat').open({ message = message })
end

--- For a mapping in insert mode with `expr`: takes the ghost text, or is the key itself.
---@param key string
---@return string
function M.accept_or(key)
  return require('beast.inline').accept_or(key)
end

--- Stops everything that runs.
function M.stop()
  require('beast.client').stop_all()
end

return M
