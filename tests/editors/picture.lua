-- A scene of the plugin for a picture: plays it, then tells who watches the screen that it is ready.
-- Run by tests/support/neovim_pictures.py as `nvim --embed -c "luafile picture.lua"`; SCENE says which.

package.path = vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2)) .. '/?.lua;' .. package.path
local stage = require('stage')

local function dress()
  vim.o.termguicolors = true
  vim.o.number, vim.o.laststatus, vim.o.showtabline, vim.o.showmode = true, 3, 0, false
  vim.o.statusline = " %f %m %= %{v:lua.require'beast'.statusline()} "
  vim.o.fillchars = 'eob: ,vert:│,diff:╱'
  vim.cmd('syntax on')
  vim.cmd.colorscheme(vim.env.SCHEME or 'default')
end

---@param answers integer
local function answered(answers)
  local chat = require('beast.chat')
  stage.wait('the answer', function()
    local current = chat.current()
    local text = current and stage.text(current.transcript) or ''
    return current and not current.task and select(2, text:gsub('\n%*[^*\n]+%*\n', '')) == answers
  end)
end

local scenes = {}

function scenes.chat()
  local file = vim.api.nvim_get_current_win()
  for _ = 1, 2 do
    vim.api.nvim_set_current_win(file)
    require('beast.chat').new()
    vim.api.nvim_set_current_win(file)
    stage.select_lines(11, 16)
    vim.cmd("'<,'>Beast chat Why is this slow when the shelf is long?")
    answered(1)
  end
  vim.cmd('Beast chat And when books are removed?')
  answered(2)
  require('beast.client').command('status', {}, {
    quiet = true,
    on_done = function(_, result)
      require('beast.status').on_status(result)
    end,
  })
  vim.wait(1000, function()
    return (require('beast').statusline()):find('$', 1, true) ~= nil
  end)
  vim.api.nvim_buf_set_lines(0, 0, -1, false, { 'Show me the whole class with that dict.' })
end

function scenes.preview()
  vim.api.nvim_win_set_cursor(0, { 11, 4 })
  vim.cmd('Beast! refactor return early, and spare the flag')
  stage.wait('the preview', function()
    return require('beast.preview').current() and #vim.api.nvim_tabpage_list_wins(0) == 2
  end)
end

vim.schedule(function()
  local ok, problem = xpcall(function()
    dress()
    stage.load('stdio', { chat = { position = 'right', size = 0.52, input_lines = 3 }, inline = { enabled = false } })
    stage.open()
    scenes[vim.env.SCENE]()
  end, debug.traceback)
  vim.cmd.redraw()
  vim.defer_fn(function()
    vim.rpcnotify(0, 'picture', ok and '' or tostring(problem))
  end, 300)
end)
