-- :checkhealth beast: what the plugin needs, what it found, and what to do about what it did not.

local M = {}

---@param words string[]
---@return string? output, string? problem
local function run(words)
  local ok, done = pcall(function()
    return vim.system(words, { text = true, timeout = 10000 }):wait()
  end)
  if not ok then
    return nil, tostring(done)
  elseif done.code ~= 0 then
    return nil, vim.trim(done.stderr ~= '' and done.stderr or done.stdout or '')
  end
  return vim.trim(done.stdout)
end

local function check_neovim()
  vim.health.start('beast: Neovim')
  local version = tostring(vim.version())
  if vim.fn.has('nvim-0.11') == 0 then
    return vim.health.error(('Neovim %s is too old'):format(version), 'Install Neovim 0.11 or later.')
  end
  vim.health.ok(('Neovim %s'):format(version))
  if require('beast.inline').native() then
    vim.health.ok('ghost text while typing')
  else
    vim.health.info('No ghost text while typing: that needs Neovim 0.12. <Plug>(beast-complete) works all the same.')
  end
end

local function check_options()
  vim.health.start('beast: options')
  local problems = require('beast.config').problems()
  for _, problem in ipairs(problems) do
    vim.health.warn(problem, ':help beast-options lists them.')
  end
  if #problems == 0 then
    vim.health.ok('no unknown option')
  end
  if not require('beast.config').get().enabled then
    vim.health.info('`enabled` is false: no file attaches by itself.')
  end
end

---@param options beast.Options
local function check_program(options)
  local program = options.cmd[1]
  if vim.fn.executable(program) == 0 then
    local tell = options.socket and vim.health.info or vim.health.error
    return tell(('`%s` is not on the PATH'):format(program), {
      'Install BEAST MODE, or activate its environment before Neovim starts.',
      "Or name the program: require('beast').setup({ cmd = { '/path/to/beast', 'lsp' } })",
    })
  end
  local version, problem = run({ program, '--version' })
  if version then
    vim.health.ok(('%s (%s)'):format(version, vim.fn.exepath(program)))
  else
    vim.health.error(('`%s --version` failed: %s'):format(program, problem))
  end
end

---@param options beast.Options
local function check_daemon(options)
  local found = require('beast.client').get()
  if options.socket then
    local path = require('beast.config').socket_path()
    if require('beast.config').listens() then
      vim.health.ok(('the daemon listens on %s'):format(path))
    else
      vim.health.warn(('nobody listens on %s'):format(path), { 'Run `beast start`; `beast status` names the socket.' })
    end
  end
  if not found then
    return vim.health.warn('no buffer is attached', 'Open a file, or run :Beast status.')
  end
  local info = found.server_info or {}
  vim.health.ok(('attached to %s %s, %s positions'):format(info.name, info.version, found.offset_encoding))
  local params = { command = 'beast.status', arguments = {} }
  local reply, problem = found:request_sync('workspace/executeCommand', params, 5000, 0)
  if not reply or reply.err then
    local words = reply and require('beast.notice').words(reply.err) or problem
    return vim.health.error(('the daemon does not answer: %s'):format(words), 'Run `beast health`.')
  end
  local status = reply.result
  local tell = status.health == 'healthy' and vim.health.ok or vim.health.warn
  tell(('the daemon is %s: %s'):format(status.health, status.why or status.line))
end

function M.check()
  local options = require('beast.config').get()
  check_neovim()
  check_options()
  vim.health.start('beast: daemon')
  check_program(options)
  check_daemon(options)
end

return M
